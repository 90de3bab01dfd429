package chat

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// twitchLog writes a log whose messages have the given true stream times. sent gives the wall clock for a stream time, in
// seconds after 18:00:00.
func twitchLog(times []float64, video string, offset, sent func(float64) float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"video":{%s},"comments":[`, video)
	for i, at := range times {
		if i > 0 {
			b.WriteByte(',')
		}
		wall := time.Date(2025, 4, 1, 18, 0, 0, 0, time.UTC).Add(time.Duration(sent(at)*1e9 + 0.5e6)).Truncate(time.Millisecond)
		fmt.Fprintf(&b, `{"_id":"m%d","created_at":%q,"content_offset_seconds":%d,"commenter":{"_id":"1","name":"a"},"message":{"body":"x"}}`,
			i, wall.Format("2006-01-02T15:04:05.999Z"), int(offset(at)))
	}
	b.WriteString("]}")
	return b.String()
}

// randomTimes are n times in milliseconds, in order, within length seconds. The first falls on a whole second, which pins
// the smallest fraction to 0.
func randomTimes(r *rand.Rand, n int, length float64) []float64 {
	times := []float64{0}
	for i := 1; i < n; i++ {
		times = append(times, times[i-1]+float64(int(r.ExpFloat64()*1000*length/float64(n)))/1000)
	}
	return times
}

func same(x float64) float64 { return x }

// TestRecovery checks that fractions come back to the millisecond through steps of the wall clock, as cuts in the video
// and removed advertisements make them.
func TestRecovery(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name  string
		n     int
		sent  func(float64) float64
		kind  ClockKind
		steps []float64 // sizes
	}{
		{"one piece", 400, same, Recovered, nil},
		{"wall clock starts before the video", 400, func(x float64) float64 { return x + 93.217 }, Recovered, nil},
		{"one cut", 600, func(x float64) float64 { return x + step(x, 300, 37) }, RecoveredCuts, []float64{37}},
		{"two cuts and a replay", 900, func(x float64) float64 { return x + step(x, 150, 37) + step(x, 300, -20) + step(x, 500, 3) }, RecoveredCuts, []float64{37, -20, 3}},
		{"few messages", 4, same, Recovered, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			times := randomTimes(r, c.n, 600)
			log, err := Read(t.Context(), strings.NewReader(twitchLog(times, "", same, c.sent)), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if log.Clock.Kind != c.kind {
				t.Fatalf("clock: %v", log.Clock)
			}
			steps := log.Clock.Steps()
			if len(steps) != len(c.steps) {
				t.Fatalf("steps %v, want %v", steps, c.steps)
			}
			for i, s := range steps { // each base is late by the smallest fraction seen in its piece
				if d := s.By.Seconds() - c.steps[i]; d < -0.1 || d > 0.1 {
					t.Errorf("step %d is %v, want %v s", i, s.By, c.steps[i])
				}
			}
			worst, fine := 0.0, 0
			for i, m := range log.Messages {
				if m.Precision != time.Millisecond {
					continue
				}
				fine++
				worst = max(worst, abs(m.Time.Seconds()-times[i]))
			}
			if fine < len(times)*98/100 {
				t.Errorf("only %d of %d messages have recovered fractions", fine, len(times))
			}
			// A piece's base errs by its smallest fraction: nothing in the first, some hundredths in the others.
			if limit := 0.0005 + 0.1*float64(len(c.steps)); worst > limit {
				t.Errorf("times are off by up to %.4f s", worst)
			}
		})
	}
}

func step(x, at, by float64) float64 {
	if x >= at {
		return by
	}
	return 0
}

func abs(x float64) float64 { return max(x, -x) }

// TestDrift checks that a slow drift is measured and taken out.
func TestDrift(t *testing.T) {
	times := randomTimes(rand.New(rand.NewPCG(3, 4)), 6000, 20_000)
	log, err := Read(t.Context(), strings.NewReader(twitchLog(times, "", same, func(x float64) float64 { return x * 1.0003 })), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if log.Clock.DriftPPM < 250 || log.Clock.DriftPPM > 350 {
		t.Errorf("drift of 300 ppm measured as %.0f: %v", log.Clock.DriftPPM, log.Clock)
	}
	fine := 0
	for _, m := range log.Messages {
		i := 0
		fmt.Sscanf(m.ID, "m%d", &i)
		off := abs(m.Time.Seconds() - times[i])
		if m.Precision == time.Millisecond {
			fine++
			if off > 0.15 {
				t.Fatalf("message %d is at %v, want %.3f s", i, m.Time, times[i])
			}
		} else if off > 1 {
			t.Fatalf("message %d is at %v, want %.3f s", i, m.Time, times[i])
		}
	}
	if fine < len(times)*95/100 {
		t.Errorf("only %d of %d messages have recovered fractions", fine, len(times))
	}
	log, err = Read(t.Context(), strings.NewReader(twitchLog(times, "", same, same)), Options{})
	if err != nil || log.Clock.DriftPPM != 0 {
		t.Errorf("drift of %v ppm where there is none (%v)", log.Clock.DriftPPM, err)
	}
}

// TestRewrittenClock checks that wall clocks which do not follow the video are not believed.
func TestRewrittenClock(t *testing.T) {
	times := randomTimes(rand.New(rand.NewPCG(5, 6)), 500, 600)
	for name, sent := range map[string]func(float64) float64{
		"all at once": func(x float64) float64 { return 140 + x/1e6 },
		"backwards":   func(x float64) float64 { return 1000 - x },
		"twice speed": func(x float64) float64 { return 2 * x },
	} {
		log, err := Read(t.Context(), strings.NewReader(twitchLog(times, "", same, sent)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if log.Clock.Kind != WholeSeconds || log.Clock.Reason == "" {
			t.Errorf("%s: %v", name, log.Clock)
		}
		for i, m := range log.Messages {
			if m.Time != time.Duration(int(times[i]))*time.Second || m.Precision != time.Second {
				t.Fatalf("%s: message %d is at %v ±%v, want its whole second", name, i, m.Time, m.Precision)
			}
		}
	}
}

// TestTrim checks what offsets count from, for all that can be known of log and recording.
func TestTrim(t *testing.T) {
	video := `"start":100,"end":160,"length":1000`
	whole := func(x float64) float64 { return x + 100 } // offsets of the whole video
	for _, c := range []struct {
		name   string
		offset func(float64) float64
		clock  ClockOptions
		want   float64 // stream time of the first message, which is written 7.25 s into the trimmed part
	}{
		{"both trimmed", whole, ClockOptions{}, 7.25},
		{"both trimmed, length known", whole, ClockOptions{Length: 61 * time.Second}, 7.25},
		{"whole recording", whole, ClockOptions{Length: 1000 * time.Second}, 107.25},
		{"offsets of the part", same, ClockOptions{}, 7.25},
		{"offsets of the part, whole recording", same, ClockOptions{Length: 999 * time.Second}, 107.25},
		{"told so", whole, ClockOptions{Base: TrimBase}, 107.25},
		{"shifted", whole, ClockOptions{Shift: -1500 * time.Millisecond}, 5.75},
		{"whole seconds", whole, ClockOptions{Whole: true}, 7},
		{"start given", whole, ClockOptions{Start: time.Date(2025, 4, 1, 18, 0, 2, 0, time.UTC)}, 5.25},
	} {
		text := twitchLog([]float64{7.25, 8, 40.5}, video, c.offset, same)
		log, err := Read(t.Context(), strings.NewReader(text), Options{Clock: c.clock})
		if err != nil {
			t.Fatal(err)
		}
		if got := log.Messages[0].Time.Seconds(); abs(got-c.want) > 0.0005 {
			t.Errorf("%s: first message at %v s, want %v (%v)", c.name, got, c.want, log.Clock)
		}
	}
}

// TestBeyond checks that messages outside the recording are counted.
func TestBeyond(t *testing.T) {
	text := twitchLog([]float64{1, 2, 50, 61, 70}, "", same, same)
	log, err := Read(t.Context(), strings.NewReader(text), Options{Clock: ClockOptions{Length: time.Minute, Shift: -1500 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	if log.Report.Negative != 1 || log.Report.Beyond != 1 {
		t.Errorf("%+v", log.Report)
	}
}

// TestClockStrings keeps the sentences that users read in order.
func TestClockStrings(t *testing.T) {
	log, err := Read(t.Context(), strings.NewReader(twitchLog([]float64{1, 2.5, 50}, `"start":1,"end":61,"length":400`, same, same)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := "times are good to 1ms: the wall clock and the whole-second offsets differ by a constant within 500ms; the recording starts 1s into the video; the recording is taken to be trimmed as the log is"
	if got := log.Clock.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWallClock(t *testing.T) {
	for text, want := range map[string]string{
		"2021-07-15T02:01:48.74506207Z":       "2021-07-15T02:01:48.74506207Z",
		"2024-02-29T23:59:59Z":                "2024-02-29T23:59:59Z",
		"2024-02-29T23:59:59.5+05:30":         "2024-02-29T18:29:59.5Z",
		"2024-02-29 23:59:59 UTC":             "2024-02-29T23:59:59Z",
		"2024-02-29T23:59:59.1234567-0800":    "2024-03-01T07:59:59.1234567Z",
		"2000-01-01T00:00:00":                 "2000-01-01T00:00:00Z",
		"0001-01-01T00:00:00":                 "",
		"2024-13-01T00:00:00Z":                "",
		"2024-01-01T00:00:00X":                "",
		"2024-01-01T00:00":                    "",
		"not a time at all, but long enough.": "",
	} {
		got, ok := wallClock([]byte(text))
		if s := got.Format(time.RFC3339Nano); ok != (want != "") || ok && s != want {
			t.Errorf("%s reads as %s, %v; want %q", text, s, ok, want)
		}
	}
	r := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		at := time.Unix(946684800+r.Int64N(4e9), r.Int64N(1e9)).UTC()
		if got, ok := wallClock([]byte(at.Format(time.RFC3339Nano))); !ok || !got.Equal(at) {
			t.Fatalf("%v reads as %v", at, got)
		}
	}
}
