package train

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banter/internal/problem"
	"banter/internal/wholefile"
	"banter/stdlib/lm/adapter"

	"github.com/zeebo/blake3"
)

// A checkpoint file is one line of magic, one line with the digest of all that follows, one line of JSON (progress), and
// then the factors of the adapter, its moments and, where there is one, the best adapter so far, as little-endian float32.
const (
	checkpointMagic  = "banter checkpoint 1\n"
	checkpointSuffix = ".checkpoint"
)

// state is where a run stands after a step.
type state struct {
	Run       string       // the run's identity: options, base and plans
	Step      int          // the last one taken
	History   []StepRecord // of all steps
	Looks     []Look       // at the holdout
	BestLoss  float64      // on the holdout
	BestStep  int          // 0: no look yet
	SinceBest int          // looks since the best one

	best *adapter.Adapter // at BestStep; nil unless early stopping
}

// keep remembers an adapter as the best so far, in the memory of the one before.
func (s *state) keep(a *adapter.Adapter) {
	if s.best == nil {
		s.best = a.Clone()
		return
	}
	for name, p := range a.Pairs {
		copy(s.best.Pairs[name].A, p.A)
		copy(s.best.Pairs[name].B, p.B)
	}
}

func checkpointName(step int) string { return fmt.Sprintf("step-%09d%s", step, checkpointSuffix) }

// save writes a checkpoint and removes old ones. The file appears whole, on disk, or not at all.
func (s *state) save(dir string, keep int, o *optimizer) error {
	fail := func(err error) error {
		return &problem.Error{Op: "write checkpoint", Path: dir, At: fmt.Sprintf("step %d", s.Step), Err: err, Fix: "make room or choose another folder for checkpoints"}
	}
	head, err := json.Marshal(s)
	if err != nil {
		return fail(err)
	}
	body := func(w io.Writer) error {
		if _, err := w.Write(append(head, '\n')); err != nil {
			return err
		}
		for _, a := range []*adapter.Adapter{o.adapter, o.first, o.second, s.best} {
			if err := writeFactors(w, a); err != nil {
				return err
			}
		}
		return nil
	}
	digest := blake3.New()
	if err := body(digest); err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	if err := wholefile.Write(filepath.Join(dir, checkpointName(s.Step)), 0o644, func(w io.Writer) error {
		if _, err := fmt.Fprintf(w, "%s%x\n", checkpointMagic, digest.Sum(nil)); err != nil {
			return err
		}
		return body(w)
	}); err != nil {
		return fail(err)
	}
	names, err := checkpoints(dir)
	if err != nil {
		return fail(err)
	}
	for _, old := range names[:max(0, len(names)-keep)] {
		if err := os.Remove(filepath.Join(dir, old)); err != nil {
			return fail(err)
		}
	}
	return nil
}

// checkpoints returns the names of checkpoint files in dir, the oldest first.
func checkpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "step-") && strings.HasSuffix(e.Name(), checkpointSuffix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// resume reads the newest whole checkpoint of the run into the optimizer. It returns nil where there is none. A damaged
// file is passed over: the one before it serves. One of another run is an error, lest its progress be lost.
func resume(dir, run string, o *optimizer) (*state, error) {
	names, err := checkpoints(dir)
	if err != nil {
		return nil, &problem.Error{Op: "read checkpoint", Path: dir, Err: err}
	}
	for _, name := range slices.Backward(names) {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, &problem.Error{Op: "read checkpoint", Path: path, Err: err}
		}
		s, factors, err := parseCheckpoint(data)
		if err != nil {
			continue
		}
		if s.Run != run {
			return nil, &problem.Error{Op: "read checkpoint", Path: path, Err: errors.New("it is of another run: options, base model or data differ"),
				Fix: "use another folder for checkpoints, or empty this one"}
		}
		size := 4 * o.adapter.Parameters()
		sets := []*adapter.Adapter{o.adapter, o.first, o.second}
		if len(factors) == 4*size {
			s.best = o.adapter.Clone()
			sets = append(sets, s.best)
		} else if len(factors) != 3*size {
			continue
		}
		for i, a := range sets {
			readFactors(factors[i*size:(i+1)*size], a)
		}
		return s, nil
	}
	return nil, nil
}

// parseCheckpoint checks a checkpoint file and takes it apart.
func parseCheckpoint(data []byte) (*state, []byte, error) {
	rest, ok := bytes.CutPrefix(data, []byte(checkpointMagic))
	if !ok {
		return nil, nil, errors.New("it is not a checkpoint of this version")
	}
	digest, body, _ := bytes.Cut(rest, []byte("\n"))
	if sum := blake3.Sum256(body); hex.EncodeToString(sum[:]) != string(digest) {
		return nil, nil, errors.New("its digest does not match")
	}
	head, factors, _ := bytes.Cut(body, []byte("\n"))
	s := new(state)
	if err := json.Unmarshal(head, s); err != nil {
		return nil, nil, err
	}
	if s.Step < 1 || len(s.History) != s.Step || len(factors)%4 != 0 {
		return nil, nil, errors.New("its steps do not add up")
	}
	return s, factors, nil
}
