// Package powercut cuts the power of loop-mounted file systems, over and over,
// and shows what would be on the disks afterwards.
//
//  1. A Recorder offers disks (image files) through a FUSE file system of its
//     own, makes a file system on each and mounts it. Every block write and
//     every flush of all its disks goes into one log, in one order.
//  2. A workload runs on the mounted disks. Whenever it has promised something
//     to the outside, the test notes Position.
//  3. Cut builds the disks as they may be when the power fails at a chosen
//     position: each disk has all writes up to its last flush before it, and
//     a random half of the blocks written since. All disks lose power at the same instant.
//  4. The cut disks are mounted (their journals are replayed), the program's
//     recovery runs, and the test compares the outcome with the promises.
//
// It needs Linux, root, /dev/fuse and loop devices. Isolated runs a test in a
// mount namespace of its own, so that no mount and no loop device outlives it,
// however it ends, and says why where that is impossible.
package powercut
