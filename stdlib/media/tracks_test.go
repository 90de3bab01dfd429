package media

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

func TestChooseTrack(t *testing.T) {
	tracks := []Track{
		{Codec: "aac", SampleRate: 48000, Channels: 2, Language: "und", Title: "Game"},
		{Codec: "aac", SampleRate: 48000, Channels: 1, Language: "ger"},
		{Codec: "opus", SampleRate: 48000, Channels: 2, Language: "eng"},
		{Codec: "opus", SampleRate: 48000, Channels: 2, Language: "en-US"},
		{Codec: "mp3", SampleRate: 44100, Channels: 1},
	}
	for _, c := range []struct {
		language string
		track    int
		want     int
		says     string // of the error
	}{
		{"", 0, 0, ""},
		{"", 4, 4, ""},
		{"de", 0, 1, ""},
		{"deu", 0, 1, ""},
		{"en", 0, 2, ""},
		{"EN", 1, 3, ""},
		{"", 5, 0, `track 5 does not exist: the recording has track 0 (aac, 48000 Hz, 2 channels, und, "Game"), track 1 (aac, 48000 Hz, 1 channel, ger)`},
		{"en", 2, 0, "track 2 of those in the language en does not exist"},
		{"fr", 0, 0, "track 4 (mp3, 44100 Hz, 1 channel, no language given)"},
		{"english", 0, 0, "names no language"},
		{"und", 0, 0, "names no language"},
	} {
		got, err := chooseTrack(tracks, Options{Track: c.track, Language: c.language})
		switch {
		case c.says == "" && (err != nil || got != c.want):
			t.Errorf("%q %d: got %d, %v", c.language, c.track, got, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%q %d: got %v", c.language, c.track, err)
		}
	}
}

// Two people, one on each channel, in the second of three tracks: each is heard alone, and by the track's language.
func TestOneSpeakerOfOneTrack(t *testing.T) {
	ffmpegOrSkip(t)
	dir := t.TempDir()
	var in []string
	for i, hz := range []float64{300, 500, 900, 1500} {
		path := filepath.Join(dir, string(rune('a'+i))+".wav")
		writeWAV(t, path, tone(48000, hz, 0.4, 1), 48000, 1)
		in = append(in, "-i", path)
	}
	for _, file := range []string{"x.mkv", "x.mp4"} {
		path := filepath.Join(dir, file)
		ffmpegMakes(t, append(in, "-filter_complex", "[1:a][2:a]join=inputs=2:channel_layout=stereo[two]",
			"-map", "0:a", "-map", "[two]", "-map", "3:a", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-c:a", "aac", path)...)
		for _, c := range []struct {
			opt   Options
			track int
			hz    []float64
		}{
			{Options{}, 0, []float64{300}},
			{Options{Track: 1, Channel: Left}, 1, []float64{500}},
			{Options{Language: "de", Channel: Right}, 1, []float64{900}},
			{Options{Language: "de"}, 1, []float64{500, 900}},
			{Options{Track: 2}, 2, []float64{1500}},
		} {
			x, info := decodeAll(t, path, c.opt)
			if info.Track != c.track {
				t.Errorf("%s, %+v: track %d", file, c.opt, info.Track)
			}
			for _, hz := range []float64{300, 500, 900, 1500} {
				heard := false
				for _, want := range c.hz {
					heard = heard || hz == want
				}
				level := levelAt(x[Rate/4:Rate*3/4], hz)
				if want := 0.4 / float64(len(c.hz)); heard && math.Abs(level-want) > 0.05 || !heard && level > 0.01 {
					t.Errorf("%s, %+v: the tone of %g Hz has level %.3f", file, c.opt, hz, level)
				}
			}
		}
	}
}

// levelAt is the amplitude of the frequency hz in x.
func levelAt(x []float32, hz float64) float64 {
	var re, im float64
	for i, v := range x {
		a := 2 * math.Pi * hz * float64(i) / Rate
		re += float64(v) * math.Cos(a)
		im += float64(v) * math.Sin(a)
	}
	return 2 * math.Hypot(re, im) / float64(len(x))
}
