// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func entries() (enter, enterFault uintptr)
TEXT ·entries(SB), NOSPLIT, $0-16
	MOV	$enter<>(SB), T0
	MOV	T0, enter+0(FP)
	MOV	$enterFault<>(SB), T0
	MOV	T0, enterFault+8(FP)
	RET

// A0: signal number
TEXT enter<>(SB), NOSPLIT|TOPFRAME, $8
	MOV	$·waiting(SB), T0
	SLL	$2, A0, T1
	ADD	T1, T0
	MOVW	(T0), T1
	BNEZ	T1, done
	MOV	$1, T1
	MOVW	T1, (T0)
	MOVB	A0, number-8(SP)
	MOVW	·pipe(SB), A0
	MOV	$number-8(SP), A1
	MOV	$1, A2
	MOV	$64, A7 // write
	ECALL
	BGEZ	A0, done
	MOVW	ZERO, (T0)
done:
	RET

// A1: siginfo
TEXT enterFault<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVW	8(A1), T0 // si_code
	BGTZ	T0, fault
	JMP	enter<>(SB)
fault:
	MOV	·runtimeEntry(SB), T0
	JMP	(T0)
