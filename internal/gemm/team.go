package gemm

import (
	"sync"
	"sync/atomic"
)

// Team is an engine's workers kept at hand for a sequence of small jobs, as one step of a decoder has a hundred of: to
// wake somebody for each would take longer than the job. Its methods are for one goroutine. Close lets the workers go.
//
// The tasks of a job are taken, not given, and a job is done when its tasks are: a worker that the operating system lets
// wait holds up nobody unless it stands within a task.
type Team struct {
	workers int
	state   atomic.Uint64 // the job's number, how many tasks it has and how many of them are taken
	done    atomic.Int64  // tasks of the job
	job     func(task, worker int)

	mu     sync.Mutex
	change sync.Cond    // of state or done
	asleep atomic.Int32 // who waits for it
}

const (
	taskBits = 20
	taskMask = 1<<taskBits - 1
	closed   = 1 << (2 * taskBits) // as a state; jobs count from 2, and there are fewer than 2^23
)

// Team gathers the engine's workers.
func (e *Engine) Team() *Team {
	t := &Team{workers: e.workers}
	t.change.L = &t.mu
	t.state.Store(2 * closed)
	for w := 1; w < e.workers; w++ {
		go t.work(w)
	}
	return t
}

// Close lets the workers go.
func (t *Team) Close() {
	t.state.Store(closed)
	t.wake()
}

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
	t.wake()
	t.take(0)
	t.wait(func() bool { return t.done.Load() == int64(n) })
}

func (t *Team) work(worker int) {
	for t.state.Load() != closed {
		t.take(worker)
		t.wait(func() bool { s := t.state.Load(); return s == closed || s&taskMask < s>>taskBits&taskMask })
	}
}

// take does tasks of the job until there are none left. A taken task keeps the job from being over, and so t.job from
// being another's.
func (t *Team) take(worker int) {
	for {
		s := t.state.Load()
		task, n := s&taskMask, s>>taskBits&taskMask
		if task >= n {
			return
		}
		if t.state.CompareAndSwap(s, s+1) {
			t.job(int(task), worker)
			if t.done.Add(1) == int64(n) {
				t.wake()
			}
		}
	}
}

// patience is for how many rounds a waiting goroutine stays awake: some microseconds. That spans what lies between two
// jobs. To wait longer would take the processor from others on a busy machine, who then take it back at a worse time.
const patience = 100

// wait returns when over does. It stays awake for a while, and then sleeps until something changes.
func (t *Team) wait(over func() bool) {
	for range patience {
		if over() {
			return
		}
		pause()
	}
	t.asleep.Add(1)
	t.mu.Lock()
	for !over() {
		t.change.Wait()
	}
	t.mu.Unlock()
	t.asleep.Add(-1)
}

// wake tells those asleep that state or done has changed.
func (t *Team) wake() {
	if t.asleep.Load() > 0 {
		t.mu.Lock()
		t.change.Broadcast()
		t.mu.Unlock()
	}
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
