package media

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"banter/internal/problem"
)

// Damage is a stretch of stream time whose sound a recording lacks.
type Damage struct {
	From, To time.Duration
	Loss     Loss
}

// Loss says what stands for missing sound.
type Loss string

const (
	Silenced Loss = "silenced" // silence of the same length, as the recording's own clock has it
	Guessed  Loss = "guessed"  // silence of about the same length: what follows may be a little off
	Closed   Loss = "closed"   // nothing, since nobody knows how long it was: To is From, and what follows may come too early
	CutOff   Loss = "cut off"  // nothing: the recording ends at From, and To is the end that it promises, or From
)

// damages are the damaged stretches of a recording, in the order in which they were met.
type damages struct {
	list   []Damage // the first ones
	count  map[Loss]int
	total  time.Duration // of silence
	strict bool          // the first one is an error
}

const (
	listedDamage = 1000           // more stretches are counted only
	maxMissing   = 48 * time.Hour // more silence than that is not a hole but a clock gone wrong
)

// add notes a stretch, or refuses it where no recording lacks so much.
func (d *damages) add(from, to time.Duration, loss Loss) error {
	standsFor := loss == Silenced || loss == Guessed
	if standsFor && to <= from {
		return nil
	}
	if standsFor {
		if d.total += to - from; d.total > maxMissing {
			return fmt.Errorf("the clock of the recording jumps here by %s", (to - from).Round(time.Second))
		}
	}
	if n := len(d.list); n > 0 && standsFor && d.list[n-1].Loss == loss && d.list[n-1].To == from {
		d.list[n-1].To = to
		return nil
	}
	if d.count == nil {
		d.count = map[Loss]int{}
	}
	d.count[loss]++
	if len(d.list) < listedDamage || loss == CutOff {
		d.list = append(d.list, Damage{from, to, loss})
	}
	return d.refuse()
}

// take takes over the damage that another way of looking found.
func (d *damages) take(o *damages) error {
	d.list = append(d.list, o.list...)
	slices.SortStableFunc(d.list, func(a, b Damage) int { return cmp.Compare(a.From, b.From) })
	if d.count == nil {
		d.count = map[Loss]int{}
	}
	for loss, n := range o.count {
		d.count[loss] += n
	}
	d.total += o.total
	return d.refuse()
}

// refuse is the error that damage is where it is to be one.
func (d *damages) refuse() error {
	if !d.strict || len(d.list) == 0 {
		return nil
	}
	return &problem.Error{At: clock(d.list[0].From), Err: errors.New(d.warnings()[0]), Fix: "fetch the file again, or load it without Strict, which takes what can be decoded"}
}

// endAt drops holes that no sound follows.
func (d *damages) endAt(end time.Duration) {
	for n := len(d.list); n > 0 && d.list[n-1].From >= end-time.Millisecond; n-- {
		last := d.list[n-1]
		d.count[last.Loss]--
		d.total -= last.To - last.From
		d.list = d.list[:n-1]
	}
}

// put completes what is known of a recording by its damage.
func (d *damages) put(in Info) Info {
	in.Damage = slices.Clip(d.list)
	in.Warnings = append(slices.Clone(in.Warnings), d.warnings()...)
	return in
}

// warnings say what is missing, a sentence for each kind of loss.
func (d *damages) warnings() []string {
	const named = 5
	var out []string
	for _, kind := range []struct {
		loss         Loss
		before, rest string
	}{
		{Silenced, "sound is missing and taken for silence, ", ""},
		{Guessed, "sound is missing and taken for silence of about its length, ", ": what follows may be a little off"},
		{Closed, "sound is missing for a time that the recording does not tell, ", ": what follows may come too early"},
		{CutOff, "the file is ", ""},
	} {
		var each []string
		for _, s := range d.list {
			if s.Loss == kind.loss && len(each) < named {
				each = append(each, s.place())
			}
		}
		if len(each) == 0 {
			continue
		}
		text := kind.before + strings.Join(each, ", ")
		if n := d.count[kind.loss] - len(each); n > 0 {
			text += fmt.Sprintf(" and %d times more", n)
			if kind.loss == Silenced || kind.loss == Guessed {
				text += fmt.Sprintf(", %s of silence in all", d.total.Round(time.Millisecond))
			}
		}
		out = append(out, text+kind.rest)
	}
	return out
}

// place says when it was, as a part of a sentence.
func (d Damage) place() string {
	switch {
	case d.Loss == Closed:
		return "at " + clock(d.From)
	case d.Loss == CutOff && d.To > d.From:
		return fmt.Sprintf("cut off at %s of the %s that its header promises", clock(d.From), clock(d.To))
	case d.Loss == CutOff:
		return fmt.Sprintf("cut off at %s: what followed is missing", clock(d.From))
	}
	return fmt.Sprintf("from %s to %s", clock(d.From), clock(d.To))
}
