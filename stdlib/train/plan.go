// Package train fits LoRA adapters to examples. Examples and a model's format of conversations make a [Plan]: token ids
// and labels, exactly what every engine trains on. [Run] trains the plan on a frozen base and gives back an adapter with
// the record of how it was made.
package train

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"banter/internal/problem"
	"banter/internal/progress"

	"github.com/zeebo/blake3"
)

// Example is one exchange to learn: how to answer the prompt.
type Example struct {
	ID       string // names the example in errors and records
	Prompt   string
	Response string
}

// Format writes an exchange as a model's chat template and tokenizer do.
type Format interface {
	// Encode returns the tokens of an exchange and which of them are to be learned: those of the response and the token
	// that ends its turn.
	Encode(prompt, response string) (tokens []int32, learn []bool, err error)
	// EndsTurn says whether a token ends a turn.
	EndsTurn(token int32) bool
}

// NotLearned is the label of a token that is read but not learned, as PyTorch has it.
const NotLearned = -100

// Row is what a training step reads as one: one example, or several that were packed.
type Row struct {
	IDs       []string `parquet:"ids,list"`          // of its examples
	Tokens    []int32  `parquet:"input_ids,list"`    // of the examples, end to end
	Labels    []int32  `parquet:"labels,list"`       // a token itself where it is learned, else NotLearned
	Positions []int32  `parquet:"position_ids,list"` // from 0 in each example; attention stays within one
}

// Learned counts the tokens of the row that are learned.
func (r Row) Learned() int {
	n := 0
	for i, l := range r.Labels {
		if l >= 0 && r.Positions[i] > 0 {
			n++
		}
	}
	return n
}

// lengths returns the tokens of each example in the row.
func (r Row) lengths() []int {
	var n []int
	for _, p := range r.Positions {
		if p == 0 {
			n = append(n, 0)
		}
		n[len(n)-1]++
	}
	return n
}

// Plan is what every engine trains on.
type Plan struct {
	Rows      []Row
	MaxLength int // no row has more tokens
	Truncated int // examples whose prompt lost its beginning
}

// PlanOptions says how examples become rows.
type PlanOptions struct {
	MaxLength int    // tokens in a row at most; 0: 1024
	Truncate  bool   // cut the beginning off prompts that make an example too long; else such examples are refused
	Pack      bool   // put several examples in a row while they fit
	Seed      uint64 // of the order in which examples are packed
}

// NewPlan encodes examples and checks what must be right before training: every row has something to learn, every
// response teaches where to stop, and nothing is longer than allowed. Examples in error are named.
func NewPlan(ctx context.Context, examples []Example, format Format, o PlanOptions) (*Plan, error) {
	if o.MaxLength == 0 {
		o.MaxLength = 1024
	}
	if o.MaxLength < 8 {
		return nil, &problem.Error{Op: "plan training", Err: fmt.Errorf("a limit of %d tokens for an example", o.MaxLength), Fix: "allow 8 or more"}
	}
	p := &Plan{MaxLength: o.MaxLength}
	var tooLong, noTurn, nothing faults
	for i, e := range examples {
		if i%256 == 0 {
			progress.Tell(ctx, progress.Report{Done: int64(i), Total: int64(len(examples)), Unit: "examples", Note: "encode"})
			if err := ctx.Err(); err != nil {
				return nil, fmt.Errorf("plan training: %w", err)
			}
		}
		tokens, learn, err := format.Encode(e.Prompt, e.Response)
		if err != nil {
			return nil, &problem.Error{Op: "plan training", Path: e.ID, Err: err}
		}
		row := Row{IDs: []string{e.ID}, Tokens: slices.Clone(tokens), Labels: make([]int32, len(tokens)), Positions: make([]int32, len(tokens))}
		first, last := -1, -1
		for j, t := range tokens {
			row.Labels[j], row.Positions[j] = NotLearned, int32(j)
			if learn[j] {
				row.Labels[j] = t
				if first < 0 {
					first = j
				}
				last = j
			}
		}
		if over := len(tokens) - o.MaxLength; over > 0 {
			// A token's label counts only when something stands before it.
			if !o.Truncate || first <= over {
				tooLong.add(e.ID, fmt.Sprintf("%d tokens", len(tokens)))
				continue
			}
			row.Tokens, row.Labels, row.Positions = row.Tokens[over:], row.Labels[over:], row.Positions[:o.MaxLength]
			p.Truncated++
		}
		switch {
		case row.Learned() == 0:
			nothing.add(e.ID, "")
			continue
		case !format.EndsTurn(tokens[last]):
			noTurn.add(e.ID, "")
			continue
		}
		p.Rows = append(p.Rows, row)
	}
	if err := nothing.err("have no token to learn", "give each a response, and check that the chat template marks what the assistant says"); err != nil {
		return nil, err
	}
	if err := noTurn.err("do not teach the end of their turn", "check that the chat template's end-of-turn token lies in what it marks as the assistant's"); err != nil {
		return nil, err
	}
	if err := tooLong.err(fmt.Sprintf("are longer than %d tokens", o.MaxLength), "raise the limit, drop them, or allow prompts to be cut"); err != nil {
		return nil, err
	}
	if len(p.Rows) == 0 {
		return nil, &problem.Error{Op: "plan training", Err: fmt.Errorf("there are no examples"), Fix: "loosen the filters before training"}
	}
	if o.Pack {
		p.pack(o.Seed)
	}
	return p, nil
}

// faults collects examples with the same fault.
type faults struct{ names []string }

func (f *faults) add(id, detail string) {
	if detail != "" {
		id += " (" + detail + ")"
	}
	f.names = append(f.names, id)
}

func (f *faults) err(what, fix string) error {
	if len(f.names) == 0 {
		return nil
	}
	n, shown, more := len(f.names), f.names, ""
	if n > 10 {
		shown, more = shown[:10], fmt.Sprintf(" and %d more", n-10)
	}
	return &problem.Error{Op: "plan training", Err: fmt.Errorf("%d examples %s: %s%s", n, what, strings.Join(shown, ", "), more), Fix: fix}
}

// pack puts rows together, in a seeded order: each into the first open row that has room.
func (p *Plan) pack(seed uint64) {
	rows := slices.Clone(p.Rows)
	rng := rand.New(rand.NewPCG(seed, 1))
	rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	const open = 64 // rows looked at for room
	var packed []Row
	for _, r := range rows {
		at := -1
		for i := max(0, len(packed)-open); i < len(packed); i++ {
			if len(packed[i].Tokens)+len(r.Tokens) <= p.MaxLength {
				at = i
				break
			}
		}
		if at < 0 {
			packed = append(packed, Row{})
			at = len(packed) - 1
		}
		q := &packed[at]
		q.IDs = append(q.IDs, r.IDs...)
		q.Tokens = append(q.Tokens, r.Tokens...)
		q.Labels = append(q.Labels, r.Labels...)
		q.Positions = append(q.Positions, r.Positions...)
	}
	p.Rows = packed
}

// Tokens counts the plan's tokens, and those of them that are learned.
func (p *Plan) Tokens() (all, learned int) {
	for _, r := range p.Rows {
		all += len(r.Tokens)
		learned += r.Learned()
	}
	return all, learned
}

// Digest names the plan's content.
func (p *Plan) Digest() string {
	h := blake3.New()
	var b []byte
	put := func(n int) { b = binary.LittleEndian.AppendUint32(b, uint32(n)) }
	put(p.MaxLength)
	put(len(p.Rows))
	for _, r := range p.Rows {
		put(len(r.IDs))
		for _, id := range r.IDs {
			put(len(id))
			b = append(b, id...)
		}
		put(len(r.Tokens))
		for i := range r.Tokens {
			put(int(r.Tokens[i]))
			put(int(r.Labels[i]))
			put(int(r.Positions[i]))
		}
		h.Write(b)
		b = b[:0]
	}
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

// Check looks at a plan from elsewhere as [NewPlan] does at examples: rows must be whole, within the limit and the
// vocabulary, and have something to learn.
func (p *Plan) Check(vocabulary int) error {
	if len(p.Rows) == 0 {
		return &problem.Error{Op: "check plan", Err: fmt.Errorf("it has no rows"), Fix: "make it from examples"}
	}
	var long, masked, broken faults
	for i, r := range p.Rows {
		name := fmt.Sprintf("row %d", i)
		if len(r.IDs) > 0 {
			name += " (" + r.IDs[0] + ")"
		}
		switch why := r.broken(vocabulary); {
		case why != "":
			broken.add(name, why)
		case p.MaxLength > 0 && len(r.Tokens) > p.MaxLength:
			long.add(name, fmt.Sprintf("%d tokens", len(r.Tokens)))
		case r.Learned() == 0:
			masked.add(name, "")
		}
	}
	if err := broken.err("are not whole", "make the plan again, with this model's tokenizer"); err != nil {
		return err
	}
	if err := long.err(fmt.Sprintf("are longer than %d tokens", p.MaxLength), "make the plan again with a higher limit"); err != nil {
		return err
	}
	return masked.err("have no token to learn", "check that the chat template marks what the assistant says")
}

func (r Row) broken(vocabulary int) string {
	n := len(r.Tokens)
	if n == 0 || len(r.Labels) != n || len(r.Positions) != n {
		return fmt.Sprintf("%d tokens, %d labels, %d positions", n, len(r.Labels), len(r.Positions))
	}
	for i, t := range r.Tokens {
		if t < 0 || int(t) >= vocabulary {
			return fmt.Sprintf("token %d is %d, the model knows 0 to %d", i, t, vocabulary-1)
		}
		if l := r.Labels[i]; l != NotLearned && l != t {
			return fmt.Sprintf("label %d is %d, not its token %d", i, l, t)
		}
		if p := r.Positions[i]; p != 0 && (i == 0 || p != r.Positions[i-1]+1) {
			return fmt.Sprintf("position %d is %d", i, p)
		}
	}
	return ""
}
