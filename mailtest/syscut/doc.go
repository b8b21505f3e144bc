// Package syscut kills a program, or fails one of its system calls, at the
// N-th effect on the file system, counted over all of its threads and children.
//
// A supervisor by seccomp user notification (seccomp_unotify(2)) sees every
// listed call before it runs: it counts those that touch a path under the
// run's roots and lets them go on, answers one of them with an error number, or
// sends SIGKILL while the call still waits. So "die at every step" can be
// tested without a hook in the program under test:
//
//  1. Count runs the program undisturbed and lists its calls.
//  2. At runs it with one action at call n.
//  3. Sweep does so for n = 1, 2, 3... until a run ends without reaching n,
//     and lets the test prepare the folders before and look at them after.
//
// No privilege is needed. The program is started through a copy of the test
// binary that installs the filter and then executes it, so a test that uses
// this package calls Trampoline first in its TestMain.
//
// The package works on Linux 5.19 or later, on amd64 and arm64; elsewhere it is
// empty.
package syscut
