// Package session is the kernel between a notebook's requests and the Go that answers them.
//
// What flows in: verified messages from kernel/wire, and the output of the process: what cells print, what native code
// and child processes write to file descriptors 1 and 2, what is displayed. What flows out: replies, and on iopub one
// ordered, bounded and rate-limited sequence of outputs for each cell. Cells themselves are run by an [Evaluator].
package session
