// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func entries() (enter, enterFault uintptr)
TEXT ·entries(SB), NOSPLIT, $0-16
	LEAQ	enter<>(SB), AX
	MOVQ	AX, enter+0(FP)
	LEAQ	enterFault<>(SB), AX
	MOVQ	AX, enterFault+8(FP)
	RET

// DI: signal number
TEXT enter<>(SB), NOSPLIT|TOPFRAME, $8
	MOVL	DI, AX
	LEAQ	·waiting(SB), R8
	LEAQ	(R8)(AX*4), R8
	CMPL	(R8), $0
	JNE	done
	MOVL	$1, (R8)
	MOVB	AX, number-8(SP)
	MOVL	·pipe(SB), DI
	LEAQ	number-8(SP), SI
	MOVL	$1, DX
	MOVL	$1, AX // write
	SYSCALL
	TESTQ	AX, AX
	JGE	done
	MOVL	$0, (R8)
done:
	RET

// SI: siginfo
TEXT enterFault<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	CMPL	8(SI), $0 // si_code
	JGT	fault
	JMP	enter<>(SB)
fault:
	MOVQ	·runtimeEntry(SB), AX
	JMP	AX
