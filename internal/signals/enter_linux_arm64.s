// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func entries() (enter, enterFault uintptr)
TEXT ·entries(SB), NOSPLIT, $0-16
	MOVD	$enter<>(SB), R0
	MOVD	R0, enter+0(FP)
	MOVD	$enterFault<>(SB), R0
	MOVD	R0, enterFault+8(FP)
	RET

// R0: signal number
TEXT enter<>(SB), NOSPLIT|TOPFRAME, $16
	MOVD	$·waiting(SB), R3
	ADD	R0<<2, R3
	MOVWU	(R3), R2
	CBNZ	R2, done
	MOVW	$1, R2
	MOVW	R2, (R3)
	MOVB	R0, number-8(SP)
	MOVW	·pipe(SB), R0
	MOVD	$number-8(SP), R1
	MOVD	$1, R2
	MOVD	$64, R8 // write
	SVC
	CMP	$0, R0
	BGE	done
	MOVW	ZR, (R3)
done:
	RET

// R1: siginfo
TEXT enterFault<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVW	8(R1), R3 // si_code
	CMPW	$0, R3
	BGT	fault
	B	enter<>(SB)
fault:
	MOVD	·runtimeEntry(SB), R3
	B	(R3)
