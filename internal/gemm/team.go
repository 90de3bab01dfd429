package gemm

import (
	"runtime"
	"sync/atomic"
)

// Team is an engine's workers kept awake for a sequence of small jobs, as one step of a decoder has a hundred of: to wake
// somebody for each would take longer than the job. Its methods are for one goroutine. Close it soon: who waits keeps a
// processor busy.
//
// The tasks of a job are taken, not given, and a job is done when its tasks are: a worker that the operating system lets
// wait holds up nobody unless it stands within a task.
type Team struct {
	workers int
	state   atomic.Uint64 // the job's number, how many tasks it has and how many of them are taken: see pack
	done    atomic.Int64  // tasks of the job
	job     func(task, worker int)
}

const (
	taskBits = 20
	taskMask = 1<<taskBits - 1
	closed   = 1 << (2 * taskBits) // as a state; jobs count from 2
)

// Team gathers the engine's workers.
func (e *Engine) Team() *Team {
	t := &Team{workers: e.workers}
	t.state.Store(2 * closed)
	for w := 1; w < e.workers; w++ {
		go t.work(w)
	}
	return t
}

// Close lets the workers go.
func (t *Team) Close() { t.state.Store(closed) }

// Each is [Engine.Each] for up to 2^20-1 tasks.
func (t *Team) Each(n int, f func(task, worker int)) {
	if t.workers == 1 || n <= 1 {
		for i := range n {
			f(i, 0)
		}
		return
	}
	if n > taskMask {
		panic("gemm: too many tasks for a team")
	}
	t.job = f
	t.done.Store(0)
	number := t.state.Load()>>(2*taskBits) + 1
	t.state.Store(number<<(2*taskBits) | uint64(n)<<taskBits)
	t.take(0)
	for wait := 1; t.done.Load() < int64(n); wait++ {
		rest(wait)
	}
}

func (t *Team) work(worker int) {
	for wait := 1; t.state.Load() != closed; wait++ {
		if t.take(worker) {
			wait = 1
		}
		rest(wait)
	}
}

// take does tasks of the job until there are none left, and says whether there was one. A taken task keeps the job from
// being over, and so t.job and the state's count from being another's.
func (t *Team) take(worker int) (any bool) {
	for {
		s := t.state.Load()
		task := s & taskMask
		if task >= s>>taskBits&taskMask {
			return any
		}
		if t.state.CompareAndSwap(s, s+1) {
			t.job(int(task), worker)
			t.done.Add(1)
			any = true
		}
	}
}

// rest is one round of waiting. Now and then it lets other goroutines run.
func rest(round int) {
	if round%64 == 0 {
		runtime.Gosched()
		return
	}
	pause()
}

// Spans is [Engine.Spans] with spans that begin at multiples of four, which is how the kernels of [ISA.AddRows] take rows.
func (t *Team) Spans(n int, f func(from, to int)) {
	fours := (n + 3) / 4
	pieces := min(fours, 4*t.workers)
	if t.workers == 1 {
		pieces = min(fours, 1)
	}
	t.Each(pieces, func(i, _ int) { f(4*(fours*i/pieces), min(4*(fours*(i+1)/pieces), n)) })
}
