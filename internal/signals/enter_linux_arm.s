// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func entries() (enter, enterFault uintptr)
TEXT ·entries(SB), NOSPLIT, $0-8
	MOVW	$enter<>(SB), R0
	MOVW	R0, enter+0(FP)
	MOVW	$enterFault<>(SB), R0
	MOVW	R0, enterFault+4(FP)
	RET

// R0: signal number
TEXT enter<>(SB), NOSPLIT|TOPFRAME, $8
	MOVW	$·waiting(SB), R3
	ADD	R0<<2, R3
	MOVW	(R3), R2
	CMP	$0, R2
	BNE	done
	MOVW	$1, R2
	MOVW	R2, (R3)
	MOVB	R0, number-4(SP)
	MOVW	·pipe(SB), R0
	MOVW	$number-4(SP), R1
	MOVW	$1, R2
	MOVW	$4, R7 // write
	SWI	$0
	CMP	$0, R0
	BGE	done
	MOVW	$0, R2
	MOVW	R2, (R3)
done:
	RET

// R1: siginfo
TEXT enterFault<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVW	8(R1), R3 // si_code
	CMP	$0, R3
	BGT	fault
	B	enter<>(SB)
fault:
	MOVW	·runtimeEntry(SB), R3
	B	(R3)
