package cloudtrail

import "golang.org/x/sys/cpu"

// markBlocks is markGo, by AVX2 where the processor has it: in a tenth of the
// time, 1.4 kB in 50 ns.
func markBlocks(dst []uint64, data []byte) {
	if !cpu.X86.HasAVX2 {
		markGo(dst, data)
		return
	}
	_ = dst[len(data)/64-1]
	markAVX2(&dst[0], &data[0], len(data)/64)
}

// markAVX2 marks n blocks of 64 bytes, at least one.
//
//go:noescape
func markAVX2(dst *uint64, data *byte, n int)
