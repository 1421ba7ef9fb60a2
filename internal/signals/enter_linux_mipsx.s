// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build mips || mipsle

#include "textflag.h"

// func entries() (enter, enterFault uintptr)
TEXT ·entries(SB), NOSPLIT, $0-8
	MOVW	$enter<>(SB), R8
	MOVW	R8, enter+0(FP)
	MOVW	$enterFault<>(SB), R8
	MOVW	R8, enterFault+4(FP)
	RET

// R4: signal number
TEXT enter<>(SB), NOSPLIT|TOPFRAME, $4
	MOVW	$·waiting(SB), R16
	SLL	$2, R4, R9
	ADDU	R9, R16
	MOVW	(R16), R9
	BNE	R9, done
	MOVW	$1, R9
	MOVW	R9, (R16)
	MOVB	R4, number-4(SP)
	MOVW	·pipe(SB), R4
	MOVW	$number-4(SP), R5
	MOVW	$1, R6
	MOVW	$4004, R2 // write
	SYSCALL
	BEQ	R7, done
	MOVW	R0, (R16)
done:
	RET

// R5: siginfo
TEXT enterFault<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVW	4(R5), R8 // si_code
	BGTZ	R8, fault
	JMP	enter<>(SB)
fault:
	MOVW	·runtimeEntry(SB), R8
	JMP	(R8)
