package chat

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"
)

// Clock is what was inferred about a log's time, and why.
type Clock struct {
	Kind        ClockKind
	Precision   time.Duration // of most messages' Time
	Base        time.Time     // wall clock at stream time 0; zero where the log has no wall clock that can be trusted
	Uncertainty time.Duration // Base may be this much too late, given how many messages pinned it down
	Spread      time.Duration // largest minus smallest Sent - Offset over the log; 0 where one of them is missing
	Pieces      []ClockPiece  // stretches of constant Sent - Offset, in order; one where the video has no cuts
	DriftPPM    float64       // slow change of Sent - Offset within pieces, parts per million; 0 where none is seen
	Outliers    int64         // messages that fit no piece and keep their whole second
	Trim        time.Duration // subtracted from offsets, because the recording starts this far into the whole video
	Shift       time.Duration // added on request, see ClockOptions
	Reason      string        // why the clock is no better than it is, or what was assumed; may be empty
}

// ClockKind says how stream times were made.
type ClockKind string

// The ways to a stream time.
const (
	WholeSeconds  ClockKind = "whole seconds"             // offsets as logged
	FineOffsets   ClockKind = "offsets with fractions"    // offsets as logged
	Recovered     ClockKind = "recovered fractions"       // whole-second offsets made finer by the wall clock
	RecoveredCuts ClockKind = "recovered between cuts"    // the same, piece by piece around cuts or drift
	WallClock     ClockKind = "wall clock"                // wall clock minus the recording's start
	WallFirst     ClockKind = "wall clock from the first" // wall clock minus the first message's: the start is not known
)

// ClockPiece is a stretch of the video over which wall clock and video run side by side. Where one piece ends and the next
// begins, the video was cut, the broadcast was interrupted, or the two clocks have drifted apart.
type ClockPiece struct {
	From, To time.Duration // offsets of its first and last message, as logged
	Base     time.Time     // Sent - Offset at From, for a message with no fraction; later on Clock.DriftPPM adds to it
	Spread   time.Duration // largest minus smallest Sent - Offset within it; below 1.5 s
	Messages int64
}

// Step is a jump of the wall clock against the video.
type Step struct {
	At time.Duration // offset into the video, as logged
	By time.Duration // positive where video is missing: removed sections, lost connections
}

// Steps lists the jumps between pieces.
func (c Clock) Steps() []Step {
	var steps []Step
	for i := 1; i < len(c.Pieces); i++ {
		steps = append(steps, Step{At: c.Pieces[i].From, By: c.Pieces[i].Base.Sub(c.Pieces[i-1].Base).Round(time.Millisecond)})
	}
	return steps
}

// String says in one or two sentences what was inferred.
func (c Clock) String() string {
	var b strings.Builder
	switch c.Kind {
	case Recovered:
		fmt.Fprintf(&b, "times are good to %v: the wall clock and the whole-second offsets differ by a constant within %v", c.Precision, c.Spread.Round(time.Millisecond))
	case RecoveredCuts:
		fmt.Fprintf(&b, "times are good to %v, between %d places where the wall clock and the video part", c.Precision, len(c.Pieces)-1)
		for i, s := range c.Steps() {
			if i == 3 {
				b.WriteString(", ...")
				break
			}
			fmt.Fprintf(&b, ", %+v at %v", s.By.Round(100*time.Millisecond), s.At.Round(time.Second))
		}
	case FineOffsets:
		fmt.Fprintf(&b, "times are good to %v: the log's offsets have fractions", c.Precision)
	case WallClock:
		fmt.Fprintf(&b, "times are the wall clock, to %v, counted from %s", c.Precision, c.Base.Format("2006-01-02 15:04:05.000 UTC"))
	case WallFirst:
		fmt.Fprintf(&b, "times are the wall clock, to %v, counted from the first message at %s", c.Precision, c.Base.Format("2006-01-02 15:04:05.000 UTC"))
	default:
		fmt.Fprintf(&b, "times are whole seconds")
	}
	if c.Outliers > 0 {
		fmt.Fprintf(&b, "; %d messages fit no constant and keep whole seconds", c.Outliers)
	}
	if c.DriftPPM != 0 {
		fmt.Fprintf(&b, "; the clocks drift by %.0f parts per million", c.DriftPPM)
	}
	if c.Trim != 0 {
		fmt.Fprintf(&b, "; the recording starts %v into the video", c.Trim)
	}
	if c.Shift != 0 {
		fmt.Fprintf(&b, "; shifted by %+v on request", c.Shift)
	}
	if c.Reason != "" {
		b.WriteString("; " + c.Reason)
	}
	return b.String()
}

// ClockOptions override what would be inferred about a log's clock.
type ClockOptions struct {
	Start  time.Time     // wall clock of the recording's first sample; every message that has a wall clock is placed by it
	Length time.Duration // of the recording, where known: tells a trimmed recording from a whole one, and what lies beyond
	Base   OffsetBase    // what the log's offsets count from
	Shift  time.Duration // added to every message's time, after all else
	Whole  bool          // keep whole-second offsets as they are: no recovery of fractions
}

// OffsetBase says what the offsets of a trimmed download count from.
type OffsetBase uint8

// The bases of offsets.
const (
	AutoBase  OffsetBase = iota // found from the offsets and the log's own start and end
	VideoBase                   // the start of the whole video
	TrimBase                    // the start of the trimmed part
)

// spreadLimit is how far Sent - Offset may vary while the two clocks run side by side: whole-second offsets make it 1 s,
// and the platform's own delays a little more.
const spreadLimit = 1500 * time.Millisecond

// fitSlack is how far a message may lie before its piece's smallest difference, where drift was taken out of that.
const fitSlack = 100 * time.Millisecond

// pieceSupport is how many messages, among three times as many, must agree on a new constant before it is believed.
const pieceSupport = 5

// maxPieces bounds the memory of a log whose wall clock makes no sense.
const maxPieces = 10_000

// timeline finds, message by message, the stretches over which Sent - Offset stays within spreadLimit.
type timeline struct {
	pieces   []stretch
	pending  stretch // messages that do not fit the last piece but agree with each other
	waited   int64   // messages since the first pending one
	outliers int64
	overflow bool
	low      int64 // smallest and largest Sent - Offset of all, in ns since 1970
	high     int64
	n        int64
}

// stretch is a piece under construction.
type stretch struct {
	from, to         time.Duration
	low, high        int64 // Sent - Offset, ns since 1970
	n                int64
	sumX, sumY       float64 // for the drift: offsets in s and differences in s, both counted from the first
	sumXX, sumXY     float64
	originX, originY float64
	lows             []lowPoint // the smallest difference of each lowSpan of offsets, in order of appearance
}

// lowPoint is a message whose fraction of a second was the smallest of its neighbourhood.
type lowPoint struct {
	span       int64 // offset / lowSpan
	offset     time.Duration
	difference int64
}

// lowSpan is over how much video drift is neglected when the smallest fraction is looked for.
const lowSpan = 5 * time.Minute

func (s *stretch) fits(d int64) bool {
	return s.n == 0 || max(s.high, d)-min(s.low, d) < int64(spreadLimit)
}

func (s *stretch) add(offset time.Duration, d int64) {
	if s.n == 0 {
		*s = stretch{from: offset, to: offset, low: d, high: d, originX: offset.Seconds(), originY: float64(d)}
	}
	s.from, s.to = min(s.from, offset), max(s.to, offset)
	s.low, s.high = min(s.low, d), max(s.high, d)
	s.n++
	x, y := offset.Seconds()-s.originX, float64(d-int64(s.originY))/1e9
	s.sumX += x
	s.sumY += y
	s.sumXX += x * x
	s.sumXY += x * y
	low := lowPoint{int64(offset / lowSpan), offset, d}
	if n := len(s.lows); n == 0 || s.lows[n-1].span != low.span && n < maxPieces {
		s.lows = append(s.lows, low)
	} else if d < s.lows[n-1].difference {
		s.lows[n-1] = low
	}
}

// base is the smallest Sent - Offset with the drift taken out, as at the stretch's first offset. slope is in seconds per
// second.
func (s *stretch) base(slope float64) int64 {
	if slope == 0 {
		return s.low
	}
	base := int64(math.MaxInt64)
	for _, l := range s.lows {
		base = min(base, l.difference-int64(slope*float64(l.offset-s.from)))
	}
	return base
}

func (t *timeline) add(offset time.Duration, sent int64) {
	d := sent - int64(offset)
	if t.n == 0 {
		t.low, t.high = d, d
	}
	t.low, t.high = min(t.low, d), max(t.high, d)
	t.n++
	if len(t.pieces) > 0 && t.pieces[len(t.pieces)-1].fits(d) {
		t.pieces[len(t.pieces)-1].add(offset, d)
		if t.waited++; t.pending.n > 0 && t.waited > 3*pieceSupport {
			t.outliers += t.pending.n
			t.pending = stretch{}
		}
		return
	}
	if !t.pending.fits(d) {
		t.outliers += t.pending.n
		t.pending = stretch{}
	}
	if t.pending.n == 0 {
		t.waited = 0
	}
	t.pending.add(offset, d)
	if t.pending.n >= pieceSupport {
		t.settle()
	}
}

// settle believes the pending stretch.
func (t *timeline) settle() {
	if len(t.pieces) >= maxPieces {
		t.overflow = true
		t.outliers += t.pending.n
	} else {
		t.pieces = append(t.pieces, t.pending)
	}
	t.pending = stretch{}
}

// finish settles what is left: a short log may hold fewer messages than pieceSupport.
func (t *timeline) finish() {
	if t.pending.n > 0 && len(t.pieces) == 0 && t.outliers == 0 {
		t.settle()
	}
	t.outliers += t.pending.n
	t.pending = stretch{}
}

// drift is the least-squares slope of Sent - Offset over offset, in parts per million, pooled over the pieces, each about
// its own mean. It is 0 unless it is larger than rounding to whole seconds can feign.
func (t *timeline) drift() float64 {
	var sxx, sxy, n float64
	for _, p := range t.pieces {
		k := float64(p.n)
		sxx += p.sumXX - p.sumX*p.sumX/k
		sxy += p.sumXY - p.sumX*p.sumY/k
		n += k
	}
	if n < 20 || sxx <= 0 {
		return 0
	}
	slope := sxy / sxx
	// The fraction that rounding removes is uniform over 1 s, so its standard deviation is 1/sqrt(12) s.
	if math.Abs(slope) < 4*math.Sqrt(1.0/12/sxx) {
		return 0
	}
	return slope * 1e6
}

// usable says whether the pieces explain the log: nearly all messages belong to one, and together they cover most of the
// video. Otherwise the reason why not. Logs of highlights fail here: their wall clocks were written anew by the platform.
func (t *timeline) usable(first, last time.Duration) (bool, string) {
	spread := time.Duration(t.high - t.low).Round(time.Millisecond)
	if len(t.pieces) == 0 || t.overflow {
		return false, fmt.Sprintf("the wall clock does not follow the offsets: they differ by anything up to %v", spread)
	}
	var covered time.Duration
	for _, p := range t.pieces {
		covered += p.to - p.from
	}
	if len(t.pieces) == 1 && t.outliers == 0 {
		return true, ""
	}
	if share := float64(t.outliers) / float64(t.n); share > 0.05 {
		return false, fmt.Sprintf("the wall clock does not follow the offsets: they differ by anything up to %v, and %.0f %% of messages fit no constant", spread, 100*share)
	}
	if length := last - first; length > 0 && float64(covered) < 0.8*float64(length) {
		return false, fmt.Sprintf("the wall clock does not follow the offsets: they differ by anything up to %v, in %d pieces that cover %v of %v",
			spread, len(t.pieces), covered.Round(time.Second), length.Round(time.Second))
	}
	return true, ""
}

// facts are what must be known of the whole log before any message is finished.
type facts struct {
	opt      Options
	timeline timeline
	offsets  int64 // messages with an offset
	fine     int64 // of these, with a fraction
	sents    int64 // messages with a wall clock
	fineSent int64 // of these, with a fraction
	first    time.Duration
	last     time.Duration
	earliest time.Time // smallest Sent
	emotes   emoteTable
	removed  removals

	clock  Clock
	placed []ClockPiece // clock.Pieces, sorted by From
	end    time.Duration
}

func newFacts(opt Options) *facts {
	f := &facts{opt: opt, emotes: emoteTable{}}
	for _, e := range opt.Emotes {
		f.emotes.add(e)
	}
	return f
}

// observe takes note of a message as logged.
func (f *facts) observe(m *Message) {
	if !m.Sent.IsZero() {
		f.sents++
		if m.Sent.Nanosecond() != 0 {
			f.fineSent++
		}
		if f.earliest.IsZero() || m.Sent.Before(f.earliest) {
			f.earliest = m.Sent
		}
	}
	if m.Origin == FromSent {
		return
	}
	if f.offsets == 0 {
		f.first, f.last = m.Offset, m.Offset
	}
	f.offsets++
	f.first, f.last = min(f.first, m.Offset), max(f.last, m.Offset)
	if m.Offset%time.Second != 0 {
		f.fine++
	}
	if !m.Sent.IsZero() {
		f.timeline.add(m.Offset, m.Sent.UnixNano())
	}
}

// conclude decides how times are made.
func (f *facts) conclude(log *Log) {
	src, c := &log.Source, &f.clock
	f.timeline.finish()
	opt := f.opt.Clock
	c.Shift = opt.Shift
	var reasons []string

	if t := &f.timeline; t.n > 0 {
		c.Spread = time.Duration(t.high - t.low)
	}
	c.Trim, reasons = f.trim(src, reasons)

	ok, why := f.timeline.usable(f.first, f.last)
	if ok {
		c.DriftPPM = f.timeline.drift()
		for _, s := range f.timeline.pieces {
			c.Pieces = append(c.Pieces, ClockPiece{From: s.from, To: s.to, Base: time.Unix(0, s.base(c.DriftPPM/1e6)).UTC(), Spread: time.Duration(s.high - s.low), Messages: s.n})
		}
		f.placed = slices.Clone(c.Pieces)
		sort.SliceStable(f.placed, func(i, j int) bool { return f.placed[i].From < f.placed[j].From })
		c.Base = c.Pieces[0].Base.Add(c.Trim)
		// An offset is the true time rounded down, so the true base lies within one second below every Sent - Offset.
		if u := time.Second - c.Pieces[0].Spread; u > 0 && f.fine == 0 {
			c.Uncertainty = u
		}
	}

	switch {
	case !opt.Start.IsZero() && f.sents > 0:
		c.Kind, c.Base, c.Uncertainty = WallClock, opt.Start.UTC(), 0
		c.Precision = finest(f.fineSent)
	case f.offsets == 0:
		c.Precision = finest(f.fineSent)
		if !src.Created.IsZero() {
			c.Kind, c.Base = WallClock, src.Created
		} else {
			c.Kind, c.Base = WallFirst, f.earliest
			reasons = append(reasons, "the log does not say when the recording began: give its start, or let alignment find the shift")
		}
	case f.fine*20 > f.offsets: // a few fractions among whole seconds are a tool's slip, not a finer clock
		c.Kind, c.Precision = FineOffsets, time.Millisecond
	case opt.Whole:
		c.Kind, c.Precision = WholeSeconds, time.Second
		reasons = append(reasons, "fractions were not recovered, as asked")
	case f.timeline.n == 0:
		c.Kind, c.Precision = WholeSeconds, time.Second
		reasons = append(reasons, "the log has no wall clock to make them finer")
	case f.fineSent*20 <= f.sents:
		c.Kind, c.Precision = WholeSeconds, time.Second
		reasons = append(reasons, "the log's wall clock has whole seconds too")
	case !ok:
		c.Kind, c.Precision = WholeSeconds, time.Second
		reasons = append(reasons, why)
	default:
		c.Kind, c.Precision = Recovered, time.Millisecond
		if len(c.Pieces) > 1 {
			c.Kind = RecoveredCuts
		}
	}
	if c.Kind == Recovered || c.Kind == RecoveredCuts {
		c.Outliers = f.timeline.outliers
	}
	c.Reason = strings.Join(reasons, "; ")

	switch {
	case opt.Length > 0:
		f.end = opt.Length
	case src.End > src.Start && c.Trim > 0:
		f.end = src.End - src.Start
	case src.Length > 0:
		f.end = src.Length
	}
	log.Clock = f.clock
}

func finest(fractions int64) time.Duration {
	if fractions > 0 {
		return time.Millisecond
	}
	return time.Second
}

// slack is how far a tool may miss the start and end that it was asked for.
const slack = 2 * time.Second

// trim decides by how much offsets must be lessened to count from the recording's start.
func (f *facts) trim(src *Source, reasons []string) (time.Duration, []string) {
	if f.offsets == 0 || src.Start <= 0 {
		return 0, reasons
	}
	base := f.opt.Clock.Base
	if base == AutoBase {
		base = VideoBase
		if f.first < src.Start-slack {
			base = TrimBase
			reasons = append(reasons, fmt.Sprintf("offsets begin at %v, before the log's own start at %v, so they count from there", f.first, src.Start))
		}
	}
	part, whole := src.End-src.Start, src.Length
	recordingIsWhole := false
	if length := f.opt.Clock.Length; length > 0 && whole > 0 && part > 0 {
		recordingIsWhole = (length - whole).Abs() < (length - part).Abs()
	}
	switch {
	case base == VideoBase && !recordingIsWhole:
		if f.opt.Clock.Length == 0 {
			reasons = append(reasons, "the recording is taken to be trimmed as the log is")
		}
		return src.Start, reasons
	case base == TrimBase && recordingIsWhole:
		return -src.Start, reasons
	}
	return 0, reasons
}

// finish places m in time and settles what later records said about it.
func (f *facts) finish(m *Message, r *Report) {
	f.place(m)
	if f.removed.covers(m) {
		m.Deleted = true
	}
	m.Emotes = f.emotes.find(m.Text, m.Emotes)
	if m.Deleted {
		r.Deleted++
	}
	if m.Time < 0 {
		r.Negative++
	}
	if f.end > 0 && m.Time > f.end {
		r.Beyond++
	}
}

func (f *facts) place(m *Message) {
	c := &f.clock
	switch {
	case !m.Sent.IsZero() && (c.Kind == WallClock || c.Kind == WallFirst):
		m.Origin, m.Precision = FromSent, c.Precision
		m.Time = m.Sent.Sub(c.Base)
	case m.Origin == FromSent && !c.Base.IsZero(): // a message without an offset among others that have one
		m.Precision = c.Precision
		m.Time = m.Sent.Sub(c.Base)
	case c.Kind == FineOffsets && m.Origin == FromOffset:
		m.Time, m.Precision = m.Offset-c.Trim, time.Millisecond
	case (c.Kind == Recovered || c.Kind == RecoveredCuts) && !m.Sent.IsZero():
		if base, ok := f.pieceOf(m); ok {
			m.Origin, m.Precision = FromBoth, time.Millisecond
			m.Time = m.Sent.Sub(base) - c.Trim
			break
		}
		fallthrough
	default:
		m.Time, m.Precision = m.Offset-c.Trim, time.Second
	}
	m.Time = (m.Time + c.Shift).Round(time.Millisecond)
}

// pieceOf finds the piece that m belongs to: the one around its offset, or else a neighbour that its wall clock fits.
func (f *facts) pieceOf(m *Message) (time.Time, bool) {
	at := sort.Search(len(f.placed), func(i int) bool { return f.placed[i].From > m.Offset }) - 1
	for _, i := range [...]int{at, at - 1, at + 1} {
		if i < 0 || i >= len(f.placed) {
			continue
		}
		base := f.placed[i].Base
		if ppm := f.clock.DriftPPM; ppm != 0 {
			base = base.Add(time.Duration(ppm / 1e6 * float64(m.Offset-f.placed[i].From)))
		}
		if d := m.Sent.Add(-m.Offset).Sub(base); d >= -fitSlack && d < spreadLimit {
			return base, true
		}
	}
	return time.Time{}, false
}
