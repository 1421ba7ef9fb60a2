// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build 386 || amd64 || arm || arm64 || mips || mipsle || riscv64

package signals

import (
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel calls enter, on whatever thread it chooses, with all signals blocked and on
// the stack that the Go runtime has for its own handler. It knows nothing of Go, and so
// disturbs nothing. In C it would be:
//
//	void enter(int signal) {
//		if (waiting[signal])
//			return;
//		waiting[signal] = 1;
//		char number = signal;
//		if (write(pipe, &number, 1) < 0)
//			waiting[signal] = 0;
//	}
//
// A signal that waits already is not written again (but by a thread that looked in the
// same moment), so the pipe is never full. The registers that it changes are restored by
// the kernel (sigreturn(2)).
//
// What may be a fault of this very program, and not sent by anybody, is for the runtime,
// which makes a panic of it:
//
//	void enterFault(int signal, siginfo_t *info, void *context) {
//		if (info->si_code > 0)
//			runtimeEntry(signal, info, context);
//		else
//			enter(signal);
//	}

// entries tells where they are.
func entries() (enter, enterFault uintptr)

var (
	waiting [65]uint32 // by signal: it is in the pipe

	//lint:ignore U1000 for enter
	pipe int32 // its writing end

	//lint:ignore U1000 for enterFault
	runtimeEntry uintptr // the Go runtime's handler
)

var faults = []syscall.Signal{unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS}

// Open subscribes to these signals. Those that came before have their default effect, see
// Settle.
func Open(sigs []syscall.Signal) (*Pipe, error) {
	r, w, err := nonblockingPipe()
	if err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	// A pipe keeps its last page: with one to keep, enter's write(2) needs no memory.
	var b [1]byte
	_, _ = unix.Write(w, b[:])
	_, _ = unix.Read(r, b[:])
	pipe = int32(w)
	clear(waiting[:])
	// Flags, mask and the way back are as the runtime has them for a signal of its own.
	action, err := sigaction(unix.SIGURG, nil)
	if err != nil {
		return nil, err
	}
	runtimeEntry = action[handler]
	enter, enterFault := entries()
	for _, s := range sigs {
		action[handler] = enter
		if slices.Contains(faults, s) {
			action[handler] = enterFault
		}
		if _, err := sigaction(s, &action); err != nil && s < firstRealTime { // emulators have fewer
			return nil, err
		}
	}
	return &Pipe{r, w}, nil
}

// taken lets a signal be written again: whoever then looks at what it is about finds all
// that came with those that were not written.
func taken(s byte) { atomic.StoreUint32(&waiting[s], 0) }

// Flush returns when all that was sent to this process before is in the pipe. It is for a
// goroutine that stays on its thread, as all init functions do.
func (p *Pipe) Flush() {
	// What no thread has begun to take, this one takes: it does so when its mask changes.
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i]--
	}
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old)
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	// And other threads have left the handler when they can do what is asked of all.
	_, _, _ = syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0)
}

// kernelAction is the kernel's struct sigaction, or more. But for the mask, it is words.
type kernelAction [8]uintptr

// sigaction is rt_sigaction(2): it returns what was, and sets what it is given.
func sigaction(s syscall.Signal, action *kernelAction) (old kernelAction, err error) {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s),
		uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(&old)), setSize, 0, 0)
	if errno != 0 {
		err = os.NewSyscallError("rt_sigaction", errno)
	}
	return old, err
}
