package dsl

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"

	"banter/internal/problem"
	"banter/stdlib/chat"
	"banter/stdlib/media"
)

// Sound is a span of a recording to listen to, with what was written in chat meanwhile.
type Sound struct {
	stream   string
	from, to time.Duration // stream time
	wav      []byte
	chat     []chat.Message
}

// maxPlay bounds a Sound: it is kept in the notebook, 2 MB a minute.
const maxPlay = 60 * Second

// Play gives a span of the stream with the given id to listen to. Times are stream time; at most a minute is taken.
func Play(streams Streams, id string, from, to time.Duration) Sound {
	withUnit("play", "from, to", from, to)
	s := current()
	for _, l := range streams.list {
		if l.info.ID != id {
			continue
		}
		sound, err := s.sound(l, from, to)
		if err != nil {
			fail("play", id, err)
		}
		return sound
	}
	fail("play", id, streams.unknown(id))
	return Sound{}
}

func (s *Session) sound(l loaded, from, to time.Duration) (Sound, error) {
	length := l.info.Recording.Duration()
	from, to = max(0, from), min(to, from+maxPlay)
	if length > 0 {
		to = min(to, length)
	}
	if from >= to {
		return Sound{}, fmt.Errorf("nothing lies between %s and %s of a recording of %s", clock(from), clock(to), clock(length))
	}
	samples, err := decodeSpan(s.ctx, l.files.recording, l.info.Recording.listen(), from, to)
	if err != nil {
		return Sound{}, err
	}
	messages, err := s.messages(l)
	if err != nil {
		return Sound{}, err
	}
	sound := Sound{stream: l.info.ID, from: from, to: to, wav: wav(samples)}
	for _, m := range messages {
		if m.Time >= from && m.Time < to && len(sound.chat) < shownRows {
			sound.chat = append(sound.chat, m)
		}
	}
	return sound, nil
}

// decodeSpan decodes a recording up to a span and returns the span's samples.
func decodeSpan(ctx context.Context, path string, o media.Options, from, to time.Duration) ([]float32, error) {
	r, err := media.Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	index := func(t time.Duration) int64 { return int64(t.Seconds() * media.Rate) }
	begin, end := index(from), index(to)
	out := make([]float32, 0, end-begin)
	block := make([]float32, 1<<14)
	for at := int64(0); at < end; {
		n, err := r.Read(block)
		if lo, hi := max(begin-at, 0), min(end-at, int64(n)); lo < hi {
			out = append(out, block[lo:hi]...)
		}
		at += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, &problem.Error{Op: "decode", Path: path, At: clock(from), Err: errors.New("the recording ends before")}
	}
	return out, nil
}

// wav writes samples as a WAV file: 16 bit, mono.
func wav(samples []float32) []byte {
	const header, bytesPerSample = 44, 2
	size := len(samples) * bytesPerSample
	var b bytes.Buffer
	b.Grow(header + size)
	b.WriteString("RIFF")
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(header-8+size)))
	b.WriteString("WAVEfmt ")
	for _, field := range []any{uint32(16), uint16(1), uint16(1), uint32(media.Rate), uint32(media.Rate * bytesPerSample), uint16(bytesPerSample), uint16(8 * bytesPerSample)} {
		binary.Write(&b, binary.LittleEndian, field) // to memory: it cannot go wrong
	}
	b.WriteString("data")
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(size)))
	for _, x := range samples {
		v := math.Round(32767 * math.Max(-1, math.Min(1, float64(x))))
		b.Write(binary.LittleEndian.AppendUint16(nil, uint16(int16(v))))
	}
	return b.Bytes()
}

// clock writes stream time as people read it.
func clock(t time.Duration) string {
	t = t.Round(100 * Millisecond)
	s := fmt.Sprintf("%02d:%04.1f", int(t.Minutes())%60, math.Mod(t.Seconds(), 60))
	if t >= Hour {
		s = fmt.Sprintf("%d:%s", int(t.Hours()), s)
	}
	return s
}

// String says what is heard.
func (s Sound) String() string {
	return fmt.Sprintf("%s from %s to %s", inert(s.stream, 60), clock(s.from), clock(s.to))
}

// MimeBundle shows a player, and below it the chat of the span.
func (s Sound) MimeBundle() map[string]any {
	var b strings.Builder
	fmt.Fprintf(&b, `<p style="margin:4px 0"><bdi>%s</bdi></p><audio controls preload="metadata" style="width:100%%;max-width:560px" src="data:audio/wav;base64,%s"></audio>`,
		html.EscapeString(s.String()), base64.StdEncoding.EncodeToString(s.wav))
	plain := s.String()
	for _, m := range s.chat {
		line := fmt.Sprintf("%s %s: %s", clock(m.Time), inert(m.Author.Name, 40), inert(m.Text, 300))
		fmt.Fprintf(&b, `<div style="font-size:90%%"><bdi>%s</bdi></div>`, html.EscapeString(line))
		plain += "\n" + line
	}
	return map[string]any{"text/html": b.String(), "text/plain": plain}
}
