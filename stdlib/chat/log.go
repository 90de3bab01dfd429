package chat

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"banter/internal/problem"
)

// Log is one chat log: where it comes from, what was made of its clock, what was dropped, and its messages.
type Log struct {
	Source   Source
	Clock    Clock
	Report   Report
	Messages []Message // sorted by Time, then Position; empty after Scan, which passes them on instead
}

// Source is what a log says about itself and the stream it was taken from. Fields that the format lacks are zero.
type Source struct {
	Format   Format
	Version  string        // of the tool's file format, "1.4.0"
	StreamID string        // the platform's id of the video
	Title    string        // of the stream
	Streamer string        // login or name of the channel
	Created  time.Time     // wall clock at which the whole video began, as the platform says
	Start    time.Duration // where in the whole video the log begins, for trimmed downloads
	End      time.Duration // where in the whole video the log ends; 0 where it is not known
	Length   time.Duration // of the whole video
}

// Format names a kind of chat log.
type Format string

// The formats that are read.
const (
	TwitchDownloaderJSON Format = "TwitchDownloader JSON"
	TwitchDownloaderText Format = "TwitchDownloader text"
	TwitchDownloaderHTML Format = "TwitchDownloader HTML"
	TCD                  Format = "tcd"
	YouTubeLiveChat      Format = "yt-dlp live chat"
	ChatDownloader       Format = "chat-downloader JSON"
	JustlogJSON          Format = "justlog JSON"
	JustlogText          Format = "justlog text"
	IRC                  Format = "IRC"
	Kick                 Format = "Kick JSON"
)

// Options say how a log is read. The zero value reads leniently with all inference on.
type Options struct {
	Strict bool         // a malformed record is an error, not a count
	Emotes []EmoteCode  // emotes of BTTV, FFZ and 7TV to recognise besides those the log holds
	Clock  ClockOptions // overrides of what would be inferred
	Limits Limits
}

// Report counts what happened to the records of a log.
type Report struct {
	Read       int64     // records seen
	Kept       int64     // messages given out
	Malformed  int64     // records that could not be understood
	Problems   []Problem // the first of these, see Limits.Problems
	Ignored    int64     // records that are no messages: joins, pins, polls, notices without words
	Duplicates int64     // records whose id was seen before, dropped
	Deleted    int64     // messages kept that were deleted later on
	Negative   int64     // messages kept that were sent before the recording began
	Beyond     int64     // messages kept that were sent after the recording's known end
	Unsorted   int64     // records written out of order of time
	LostEmotes int64     // emotes whose place in the text could not be found
}

// Problem is one malformed record.
type Problem struct {
	Position int64 // where the record starts, in bytes of the decompressed text
	Line     int64 // from 1
	Reason   string
}

func (p Problem) String() string {
	return fmt.Sprintf("line %d, byte %d: %s", p.Line, p.Position, p.Reason)
}

// Summary says in one line how many records were dropped and why.
func (r Report) Summary() string {
	parts := []string{fmt.Sprintf("%d messages of %d records", r.Kept, r.Read)}
	for _, c := range []struct {
		n    int64
		what string
	}{
		{r.Malformed, "malformed"}, {r.Ignored, "not messages"}, {r.Duplicates, "duplicates dropped"}, {r.Deleted, "deleted by moderators"},
		{r.Negative, "before the recording"}, {r.Beyond, "after its end"}, {r.LostEmotes, "emotes not placed"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

// Open reads the log at path, plain or packed by gzip, zstd, bzip2, xz or zip.
func Open(ctx context.Context, path string, opt Options) (*Log, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, named(path, err)
	}
	defer f.Close()
	log, err := read(ctx, f, size(f), opt)
	return log, named(path, err)
}

// Read reads a whole log into memory.
func Read(ctx context.Context, r io.Reader, opt Options) (*Log, error) {
	log, err := read(ctx, r, 0, opt)
	return log, named("", err)
}

func read(ctx context.Context, r io.Reader, total int64, opt Options) (*Log, error) {
	p, err := newPass(ctx, r, total, opt)
	if err != nil {
		return nil, err
	}
	var messages []Message
	p.emit = func(m *Message) error {
		if int64(len(messages)) == p.limits.Messages {
			return &problem.Error{At: fmt.Sprintf("byte %d", m.Position), Err: fmt.Errorf("the log holds more than %d messages", p.limits.Messages),
				Fix: "part it into streams: a day of the busiest chat is a fraction of that"}
		}
		messages = append(messages, *m)
		return nil
	}
	if err := p.run(); err != nil {
		return nil, err
	}
	facts := p.conclude()
	for i := range messages {
		facts.finish(&messages[i], &p.log.Report)
	}
	sortMessages(messages)
	p.log.Messages = messages
	return &p.log, p.worthwhile()
}

func sortMessages(messages []Message) {
	slices.SortStableFunc(messages, func(a, b Message) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Position, b.Position))
	})
}

// Scan passes every message of the log in r to f, in the order of the file, and gives the rest of the log. It reads r
// twice, since a message's time depends on the whole log, and holds one record at a time.
func Scan(ctx context.Context, r io.ReadSeeker, opt Options, f func(Message) error) (*Log, error) {
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, named("", err)
	}
	var total int64
	if f, ok := r.(*os.File); ok {
		total = size(f)
	}
	survey, err := newPass(ctx, r, total, opt)
	if err != nil {
		return nil, named("", err)
	}
	survey.emit = func(*Message) error { return nil }
	if err := survey.run(); err != nil {
		return nil, named("", err)
	}
	facts := survey.conclude()
	survey.seen = recent{} // the second pass has its own
	if _, err := r.Seek(start, io.SeekStart); err != nil {
		return nil, named("", err)
	}
	second, err := newPass(ctx, r, total, opt)
	if err != nil {
		return nil, named("", err)
	}
	second.emit = func(m *Message) error {
		facts.finish(m, &survey.log.Report)
		return f(*m)
	}
	if err := second.run(); err != nil {
		return nil, named("", err)
	}
	if second.log.Report.Read != survey.log.Report.Read {
		return nil, named("", errors.New("the log changed while it was being read"))
	}
	return &survey.log, named("", survey.worthwhile())
}

func size(f *os.File) int64 {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

// named makes err a sentence about the log at path.
func named(path string, err error) error {
	if err == nil {
		return nil
	}
	var p *problem.Error
	if errors.As(err, &p) && p.Op == "" {
		whole := *p
		whole.Op, whole.Path = "read chat", path
		return &whole
	}
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return &problem.Error{Op: "read chat", Path: path, Err: err}
}

// pass is one reading of a log.
type pass struct {
	ctx    context.Context
	w      *window
	opt    Options
	limits Limits
	log    Log
	facts  *facts
	emit   func(*Message) error // takes a message whose time is still as logged; it may keep *m but not m

	cur     cursor
	msg     Message // the message being read
	scratch scratch
	names   interner
	seen    recent
	checks  int

	lastOffset time.Duration // of the last message placed by its offset
	lastSent   time.Time     // of the last message placed by its wall clock alone

	lastStamp time.Duration // as a line's h:mm:ss had it
	days      time.Duration // that such stamps have left out so far
}

func newPass(ctx context.Context, r io.Reader, total int64, opt Options) (*pass, error) {
	limits := opt.Limits.withDefaults()
	in, err := newInput(ctx, r, total, limits)
	if err != nil {
		return nil, err
	}
	p := &pass{ctx: ctx, w: newWindow(in.text, limits.Record), opt: opt, limits: limits, facts: newFacts(opt), names: interner{},
		lastOffset: -maxOffset}
	p.w.in = in
	p.cur.depth = limits.Depth
	p.scratch.value = make([]byte, 0, 256)
	p.scratch.body = make([]byte, 0, 2048)
	p.seen.seed = maphash.MakeSeed()
	return p, nil
}

// run finds the format and reads all records.
func (p *pass) run() error {
	if err := p.w.fill(sniffed); err != nil {
		return err
	}
	read, err := p.sniff()
	if err != nil {
		if cut := p.w.cut(); cut != nil { // too little is left to tell the format
			return p.cutOff(cut)
		}
		return err
	}
	if err := read(p); err != nil {
		return err
	}
	cut := p.w.cut()
	switch {
	case cut == nil:
		return nil
	case p.opt.Strict:
		return p.cutOff(cut)
	}
	return p.malformed(p.w.offset(), p.w.line(), cut)
}

// cutOff places the end of packed data that breaks off.
func (p *pass) cutOff(cut error) error {
	return &problem.Error{At: fmt.Sprintf("line %d, byte %d", p.w.line(), p.w.offset()), Err: cut, Fix: fixDownload}
}

// sniffed is how many bytes of text are looked at to find the format.
const sniffed = 128 << 10

// conclude makes the facts of the whole log known, once all records were seen.
func (p *pass) conclude() *facts {
	p.facts.conclude(&p.log)
	return p.facts
}

// worthwhile refuses a log without messages.
func (p *pass) worthwhile() error {
	r := &p.log.Report
	if r.Kept > 0 {
		return nil
	}
	e := &problem.Error{Err: fmt.Errorf("no messages in this %s log", p.log.Source.Format), Fix: "check that the chat was downloaded"}
	switch {
	case r.Malformed > 0:
		e.Err = fmt.Errorf("no messages in this %s log: all of its %d records are malformed, the first at %v", p.log.Source.Format, r.Malformed, r.Problems[0])
	case r.Ignored > 0:
		e.Err = fmt.Errorf("no messages in this %s log: its %d records are all of other kinds", p.log.Source.Format, r.Ignored)
	}
	return e
}

// malformed notes that the record at position cannot be understood.
func (p *pass) malformed(position, line int64, reason error) error {
	pr := Problem{Position: position, Line: line, Reason: reason.Error()}
	if p.opt.Strict {
		return &problem.Error{At: fmt.Sprintf("line %d, byte %d", line, position), Err: reason, Fix: "mend the record, or read without Strict to count and skip it"}
	}
	r := &p.log.Report
	r.Read++
	r.Malformed++
	if len(r.Problems) < p.limits.Problems {
		r.Problems = append(r.Problems, pr)
	}
	return nil
}

// ignored notes a record that is no message.
func (p *pass) ignored() {
	p.log.Report.Read++
	p.log.Report.Ignored++
}

// accept takes the finished p.msg, whose Offset, Sent, Origin and Precision are as logged.
func (p *pass) accept() error {
	if p.checks++; p.checks%1024 == 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
	}
	m := &p.msg
	r := &p.log.Report
	r.Read++
	if m.ID == "" {
		m.ID = digest(m)
	} else if p.seen.again(m.ID) {
		r.Duplicates++
		return nil
	}
	r.Kept++
	r.LostEmotes += p.scratch.lost
	if len(m.Emotes) > 0 {
		var lost int64
		m.Emotes, lost = tidy(m.Emotes, m.Text)
		r.LostEmotes += lost
	}
	if IsServiceBot(m.Author.Login) {
		m.Author.Roles |= Bot
	}
	m.Offset = m.Offset.Round(time.Millisecond)
	if m.Origin == FromSent {
		if m.Sent.Before(p.lastSent) {
			r.Unsorted++
		}
		p.lastSent = m.Sent
	} else {
		if m.Offset < p.lastOffset {
			r.Unsorted++
		}
		p.lastOffset = m.Offset
	}
	p.facts.observe(m)
	return p.emit(m)
}

// begin clears p.msg for the record at position. Its slices are not reused: they are given away.
func (p *pass) begin(position int64) *Message {
	p.msg = Message{Position: position, Precision: time.Second}
	p.scratch.lost = 0
	return &p.msg
}

// digest makes an id for a message that has none, from what tells it from all others in its log.
func digest(m *Message) string {
	h := sha256.New()
	var fixed [24]byte
	binary.LittleEndian.PutUint64(fixed[0:], uint64(m.Offset))
	if !m.Sent.IsZero() {
		binary.LittleEndian.PutUint64(fixed[8:], uint64(m.Sent.UnixNano()))
	}
	binary.LittleEndian.PutUint64(fixed[16:], uint64(m.Position))
	h.Write(fixed[:])
	io.WriteString(h, m.Author.ID)
	h.Write([]byte{0})
	io.WriteString(h, m.Text)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// scratch is memory that record readers use again and again.
type scratch struct {
	text   []byte  // a text put together from pieces
	pieces []piece // the emotes in it
	body   []byte  // a text unescaped
	value  []byte  // a short string unescaped
	badge  []byte
	lost   int64 // emotes of this message that could not be placed
}

// piece is a run of a message's text: plain, or an emote.
type piece struct {
	start, end int // in scratch.text
	emote      []byte
}

// interner keeps one string for each of the few that come again and again: names, badges. It forgets all when full.
type interner map[string]string

func (in interner) string(b []byte) string {
	if s, ok := in[string(b)]; ok {
		return s
	}
	if len(b) > 64 {
		return plainText(b)
	}
	if len(in) >= 1<<15 {
		clear(in)
	}
	s := plainText(b)
	in[string(b)] = s
	return s
}

// recent remembers the hashes of the last half to whole million ids, to find records that a tool wrote twice. It forgets by
// generations: when the newer one is full, the older one goes.
type recent struct {
	seed         maphash.Seed
	newer, older hashSet
}

const generation = 1 << 19 // ids

func (r *recent) again(id string) bool {
	h := max(1, maphash.String(r.seed, id)) // 0 is an empty slot
	if r.older.has(h) || !r.newer.add(h) {
		return true
	}
	if r.newer.n >= generation {
		r.newer, r.older = r.older, r.newer
		clear(r.newer.slots)
		r.newer.n = 0
	}
	return false
}

// hashSet is a set of hashes other than 0 by open addressing.
type hashSet struct {
	slots []uint64 // a power of two
	n     int
}

// slot is where h stands, or would.
func (s *hashSet) slot(h uint64) *uint64 {
	for i := h; ; i++ {
		if at := &s.slots[i&uint64(len(s.slots)-1)]; *at == h || *at == 0 {
			return at
		}
	}
}

func (s *hashSet) has(h uint64) bool { return s.n > 0 && *s.slot(h) == h }

// add says whether h is new.
func (s *hashSet) add(h uint64) bool {
	if s.n >= len(s.slots)*3/4 {
		old := s.slots
		s.slots = make([]uint64, max(1024, 2*len(old)))
		for _, o := range old {
			if o != 0 {
				*s.slot(o) = o
			}
		}
	}
	at := s.slot(h)
	if *at == h {
		return false
	}
	*at = h
	s.n++
	return true
}
