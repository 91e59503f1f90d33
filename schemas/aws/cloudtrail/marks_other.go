//go:build !amd64

package cloudtrail

func markBlocks(dst []uint64, data []byte) { markGo(dst, data) }
