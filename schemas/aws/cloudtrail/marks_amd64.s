#include "textflag.h"

// func markAVX2(dst *uint64, data *byte, n int)
TEXT ·markAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ data+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ $0x2222222222222222, AX // quotes
	VMOVQ AX, X0
	VPBROADCASTQ X0, Y0
	MOVQ $0x5c5c5c5c5c5c5c5c, AX // backslashes
	VMOVQ AX, X1
	VPBROADCASTQ X1, Y1
	MOVQ $0x2020202020202020, AX // spaces
	VMOVQ AX, X2
	VPBROADCASTQ X2, Y2

block:
	VMOVDQU (SI), Y3
	VMOVDQU 32(SI), Y4

	// Bytes are compared as signed numbers: those from 0x80 on are negative, so
	// less than a space holds for them and for control characters.
	VPCMPEQB Y3, Y0, Y5
	VPCMPEQB Y3, Y1, Y6
	VPCMPGTB Y3, Y2, Y7
	VPOR     Y5, Y6, Y5
	VPOR     Y5, Y7, Y5
	VPCMPEQB Y4, Y0, Y8
	VPCMPEQB Y4, Y1, Y9
	VPCMPGTB Y4, Y2, Y10
	VPOR     Y8, Y9, Y8
	VPOR     Y8, Y10, Y8

	VPMOVMSKB Y5, AX
	VPMOVMSKB Y8, DX
	SHLQ      $32, DX
	ORQ       DX, AX
	MOVQ      AX, (DI)
	ADDQ      $64, SI
	ADDQ      $8, DI
	DECQ      CX
	JNZ       block
	VZEROUPPER
	RET
