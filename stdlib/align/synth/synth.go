// Package synth makes streams whose truth is known: words with times as a recogniser would give them, a chat that partly
// answers them, and which message answers what. Nothing is heard or synthesised: it is text with times, so that hours of
// stream take milliseconds, and every regime that alignment may meet can be asked for.
package synth

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"banter/stdlib/align"
	"banter/stdlib/chat"
	"banter/stdlib/speech"
)

// Config says what stream to make. The same Config gives the same stream.
type Config struct {
	Seed    uint64
	Minutes float64
	Lag     []align.TruthLag // steps of the lag in s; From is the share of the stream, 0..1
	Delay   Delay
	Rate    float64 // messages a minute, of all kinds
	Answers float64 // share of messages that answer speech; default 0.5
	Spam    float64 // share of messages that are copypasta, advertising or bots
	Talk    float64 // share of messages that answer other viewers
	ASR     float64 // share of words that the recogniser gets wrong, drops or adds
}

// Delay is how long people take to answer.
type Delay struct {
	Law    string  // "lognormal", "gamma" or "mixture" of quick and slow people
	Median float64 // s
	Spread float64 // deviation of log seconds (for gamma: 1/sqrt(shape))
}

// Stream is a made stream.
type Stream struct {
	Input  align.Input
	Truth  align.Truth
	Length time.Duration // of speech
}

type sentence struct {
	kind       string
	slots      map[string]string
	words      []string
	start, end float64
	ends       []float64
}

type message struct {
	at    float64
	user  int
	text  string
	kind  string
	sub   string
	index int // sentence answered
	delay float64
	lag   float64
	reply string
}

const (
	crowd  = 40  // people who talk with the streamer
	others = 400 // people who come and go
	bot    = 100000
	seller = 100001
)

// Make makes a stream.
func Make(c Config) *Stream {
	if c.Answers == 0 {
		c.Answers = 0.5
	}
	r := rand.New(rand.NewPCG(c.Seed, 0x616c69676e))
	length := c.Minutes * 60
	spoken := speak(r, length)
	st := &Stream{Length: time.Duration(length * float64(time.Second))}
	for _, l := range c.Lag {
		st.Truth.Lag = append(st.Truth.Lag, align.TruthLag{From: round(l.From * length), Lag: l.Lag})
	}
	lagAt := func(t float64) float64 {
		l := st.Truth.Lag[0].Lag
		for _, s := range st.Truth.Lag {
			if t >= s.From {
				l = s.Lag
			}
		}
		return l
	}
	for i := range spoken {
		st.Truth.Sentences = append(st.Truth.Sentences, align.TruthSentence{Index: i, Start: spoken[i].start, End: spoken[i].end})
	}
	msgs := replies(r, c, spoken, lagAt)
	msgs = append(msgs, background(r, c, length)...)
	slices.SortStableFunc(msgs, func(a, b message) int { return cmp.Compare(a.at, b.at) })
	msgs = slices.DeleteFunc(msgs, func(m message) bool { return m.at < 0 || m.at >= length })
	msgs = talk(r, c, msgs)
	id := fmt.Sprintf("synth-%d", c.Seed)
	st.Input = align.Input{Stream: id, Transcript: hear(r, c.ASR, spoken)}
	for i := range msgs {
		m := &msgs[i]
		cm := write(m, i)
		tm := align.TruthMessage{ID: cm.ID, Kind: m.kind, Sub: m.sub}
		if m.kind == "reply" {
			tm.Sentence, tm.Lag, tm.Delay = &m.index, &m.lag, &m.delay
		}
		st.Input.Messages = append(st.Input.Messages, cm)
		st.Truth.Messages = append(st.Truth.Messages, tm)
	}
	return st
}

func round(x float64) float64 { return math.Round(x*1000) / 1000 }

// speak lays sentences on a timeline.
func speak(r *rand.Rand, length float64) []sentence {
	var out []sentence
	for at := 1.0; ; {
		s := say(r)
		s.start = at
		for i, w := range s.words {
			at += 0.12 + 0.055*float64(len(w))*(0.85+0.3*r.Float64())
			s.ends = append(s.ends, at)
			if i+1 < len(s.words) {
				at += 0.06 * r.Float64()
				if strings.HasSuffix(w, ",") {
					at += 0.15
				}
			}
		}
		s.end = at
		if at > length-1 {
			return out
		}
		out = append(out, s)
		at += 0.35 + 2*r.Float64()
		if r.Float64() < 0.1 {
			at += 6 * r.Float64()
		}
	}
}

// say makes one sentence.
func say(r *rand.Rand) sentence {
	k := kinds[r.IntN(len(kinds))]
	text := k.says[r.IntN(len(k.says))]
	slots := map[string]string{}
	for _, name := range slotNames {
		p := r.Perm(len(things[name]))
		for i, key := range []string{name, name + "2"} {
			if strings.Contains(text, "{"+key+"}") {
				slots[key] = things[name][p[i]]
				text = strings.ReplaceAll(text, "{"+key+"}", slots[key])
			}
		}
	}
	return sentence{kind: k.name, slots: slots, words: strings.Fields(text)}
}

func (d Delay) draw(r *rand.Rand) float64 {
	switch d.Law {
	case "gamma":
		shape := 1 / (d.Spread * d.Spread)
		return d.Median / (shape - 1.0/3) * gamma(r, shape)
	case "mixture":
		if r.Float64() < 0.3 {
			return 2 * d.Median * math.Exp(0.4*r.NormFloat64())
		}
		return 0.8 * d.Median * math.Exp(d.Spread*r.NormFloat64())
	}
	return d.Median * math.Exp(d.Spread*r.NormFloat64())
}

// gamma draws from a gamma law of scale 1 (Marsaglia and Tsang 2000), shape at least 1.
func gamma(r *rand.Rand, shape float64) float64 {
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := math.Pow(1+c*x, 3)
		if v > 0 && math.Log(1-r.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

func replies(r *rand.Rand, c Config, spoken []sentence, lagAt func(float64) float64) []message {
	if len(spoken) == 0 {
		return nil
	}
	var pull float64
	for i := range spoken {
		pull += kindOf(spoken[i].kind).pull
	}
	scale := c.Rate * c.Minutes * c.Answers / pull
	var out []message
	for i := range spoken {
		s := &spoken[i]
		k := kindOf(s.kind)
		for n := poisson(r, k.pull*scale); n > 0; n-- {
			text := k.replies[r.IntN(len(k.replies))]
			for _, key := range slices.Sorted(mapKeys(s.slots)) {
				text = strings.ReplaceAll(text, "{"+key+"}", nick(s.slots[key]))
			}
			if strings.Contains(text, "{") { // needs a thing that this sentence does not name
				text = k.plain[r.IntN(len(k.plain))]
			}
			lag, delay := lagAt(s.end), round(c.Delay.draw(r))
			out = append(out, message{at: s.end + lag + delay, user: r.IntN(crowd), text: text, kind: "reply", sub: s.kind, index: i, lag: lag, delay: delay})
		}
	}
	return out
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// background is chat that answers nothing that was said.
func background(r *rand.Rand, c Config, length float64) []message {
	var out []message
	anyone := func() int {
		if r.IntN(4) == 0 {
			return r.IntN(crowd)
		}
		return crowd + r.IntN(others)
	}
	total := c.Rate * c.Minutes
	idle := total * math.Max(0, 1-c.Answers-c.Spam-c.Talk)
	for n := poisson(r, idle*0.7); n > 0; n-- {
		out = append(out, message{at: length * r.Float64(), user: anyone(), text: smalltalk(r), kind: "background", sub: "smalltalk"})
	}
	for n := poisson(r, idle*0.3/4); n > 0; n-- { // bursts of one emote
		at, e := length*r.Float64(), emotes[r.IntN(len(emotes))]
		for k := 2 + r.IntN(5); k > 0; k-- {
			out = append(out, message{at: at + 4*r.Float64(), user: anyone(), text: strings.TrimSpace(strings.Repeat(e+" ", 1+r.IntN(3))), kind: "background", sub: "emotes"})
		}
	}
	for n := poisson(r, total*c.Spam/5); n > 0; n-- {
		at := length * r.Float64()
		switch r.IntN(3) {
		case 0:
			for k := 3 + r.IntN(6); k > 0; k-- {
				out = append(out, message{at: at + 8*r.Float64(), user: anyone(), text: pastas[n%len(pastas)], kind: "spam", sub: "copypasta"})
			}
		case 1:
			for k := 1 + r.IntN(4); k > 0; k-- {
				out = append(out, message{at: length * r.Float64(), user: seller, text: fmt.Sprintf("grow your channel -> example.net/p%03d", r.IntN(1000)), kind: "spam", sub: "ad"})
			}
		default:
			for k := 2; k > 0; k-- {
				at := length * r.Float64()
				q := commands[r.IntN(len(commands))]
				out = append(out, message{at: at, user: anyone(), text: q[0], kind: "background", sub: "command"},
					message{at: at + 0.5 + r.Float64(), user: bot, text: q[1], kind: "bot"})
			}
		}
	}
	return out
}

// talk adds answers to other viewers, to messages that are there.
func talk(r *rand.Rand, c Config, msgs []message) []message {
	n := len(msgs)
	if n == 0 {
		return msgs
	}
	var out []message
	for k := poisson(r, c.Rate*c.Minutes*c.Talk); k > 0; k-- {
		i := r.IntN(n)
		if msgs[i].user >= bot {
			continue
		}
		m := message{at: msgs[i].at + 2 + 15*r.Float64(), user: r.IntN(crowd + others), kind: "chat2chat"}
		line := answers[r.IntN(len(answers))]
		if r.IntN(3) > 0 {
			m.text = "@" + login(msgs[i].user) + " " + line
		} else { // a reply thread has no name in the text
			m.text, m.reply = line, "thread"
		}
		if m.at < c.Minutes*60 {
			out = append(out, m)
		}
	}
	out = append(msgs, out...)
	slices.SortStableFunc(out, func(a, b message) int { return cmp.Compare(a.at, b.at) })
	return out
}

func login(user int) string {
	switch {
	case user == bot:
		return "gatekeeper"
	case user == seller:
		return "growthfast"
	}
	return names[user%len(names)] + fmt.Sprint(user)
}

// write puts a message on the platform.
func write(m *message, n int) chat.Message {
	out := chat.Message{
		ID: fmt.Sprintf("m%07d", n), Time: time.Duration(math.Round(m.at*1000)) * time.Millisecond, Precision: time.Millisecond,
		Author: chat.Author{ID: fmt.Sprint(9000 + m.user), Name: login(m.user)}, Text: m.text, Position: int64(n), ReplyTo: m.reply,
	}
	if m.user == bot {
		out.Author.Roles = chat.Bot
	}
	at := 0
	for _, w := range strings.Split(m.text, " ") {
		if slices.Contains(emotes, w) {
			out.Emotes = append(out.Emotes, chat.Emote{ID: w, Name: w, Provider: "twitch", Start: at, End: at + len(w)})
		}
		at += len(w) + 1
	}
	return out
}

// hear gives the sentences as a recogniser would: a share of the words wrong, missing or new, and times a little off.
func hear(r *rand.Rand, wrong float64, spoken []sentence) *speech.Transcript {
	t := &speech.Transcript{Language: "en", Model: "synth"}
	seconds := func(x float64) time.Duration { return time.Duration(math.Round(x*1000)) * time.Millisecond }
	for k := range spoken {
		s := &spoken[k]
		first := len(t.Words)
		at := s.start
		for i, w := range s.words {
			start, end := at, s.ends[i]
			at = end
			text := w
			if r.Float64() < wrong {
				switch r.IntN(4) {
				case 0: // dropped
					continue
				case 1: // one more
					mid := (start + end) / 2
					t.Words = append(t.Words, speech.Word{Text: "uh", Start: seconds(start), End: seconds(mid), Prob: 0.4, Segment: len(t.Segments), Timed: true})
					start = mid
				default: // another word in its place; the punctuation goes with it
					other := spoken[r.IntN(len(spoken))].words
					text = strings.Trim(other[r.IntN(len(other))], ".,!?")
				}
			}
			jitter := 0.0
			if wrong > 0 {
				jitter = 0.05 * r.NormFloat64()
			}
			start, end = math.Max(0, start+jitter), math.Max(0, end+jitter)
			if n := len(t.Words); n > 0 && seconds(start) < t.Words[n-1].Start {
				start = t.Words[n-1].Start.Seconds()
			}
			end = math.Max(end, start+0.02)
			t.Words = append(t.Words, speech.Word{Text: text, Start: seconds(start), End: seconds(end), Prob: 0.9, Segment: len(t.Segments), Timed: true})
		}
		if n := len(t.Words); n > first {
			t.Segments = append(t.Segments, speech.Segment{Start: t.Words[first].Start, End: t.Words[n-1].End, First: first, Last: n, NoSpeech: -1})
		}
	}
	return t
}

// poisson draws from a Poisson law, as a sum of unit steps for large means.
func poisson(r *rand.Rand, mean float64) int {
	n := 0
	for mean > 20 {
		n += poisson(r, 20)
		mean -= 20
	}
	p := math.Exp(-mean)
	for x := r.Float64(); x > p; x *= r.Float64() {
		n++
	}
	return n
}
