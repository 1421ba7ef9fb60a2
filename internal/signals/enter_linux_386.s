// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func entries() (enter, enterFault uintptr)
TEXT ·entries(SB), NOSPLIT, $0-8
	LEAL	enter<>(SB), AX
	MOVL	AX, enter+0(FP)
	LEAL	enterFault<>(SB), AX
	MOVL	AX, enterFault+4(FP)
	RET

// 4(SP), at the entry: signal number
TEXT enter<>(SB), NOSPLIT|TOPFRAME, $4-12
	MOVL	signal+0(FP), AX
	LEAL	·waiting(SB), SI
	LEAL	(SI)(AX*4), SI
	CMPL	(SI), $0
	JNE	done
	MOVL	$1, (SI)
	MOVB	AX, number-4(SP)
	MOVL	·pipe(SB), BX
	LEAL	number-4(SP), CX
	MOVL	$1, DX
	MOVL	$4, AX // write
	INT	$0x80
	TESTL	AX, AX
	JGE	done
	MOVL	$0, (SI)
done:
	RET

// 8(SP): siginfo
TEXT enterFault<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVL	8(SP), AX
	CMPL	8(AX), $0 // si_code
	JGT	fault
	JMP	enter<>(SB)
fault:
	MOVL	·runtimeEntry(SB), AX
	JMP	AX
