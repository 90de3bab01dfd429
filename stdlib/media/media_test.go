package media

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
	"github.com/mewkiz/flac/meta"

	"banter/internal/problem"
)

// tone is a sine of the given frequency and level.
func tone(rate int, hz, level, seconds float64) []float32 {
	x := make([]float32, int(seconds*float64(rate)))
	for i := range x {
		x[i] = float32(level * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
	}
	return x
}

// snr compares x with the ideal tone at 16 kHz, away from the edges, in dB.
func snr(x []float32, hz, level float64) float64 {
	var signal, noise float64
	for i := Rate / 10; i < len(x)-Rate/10; i++ {
		want := level * math.Sin(2*math.Pi*hz*float64(i)/Rate)
		signal += want * want
		noise += (float64(x[i]) - want) * (float64(x[i]) - want)
	}
	return 10 * math.Log10(signal/noise)
}

func resampleAll(x []float32, from, block int) []float32 {
	r := newResampler(from, Rate)
	var out []float32
	for len(x) > 0 {
		n := min(block, len(x))
		out = append(out, r.push(x[:n])...)
		x = x[n:]
	}
	return append(out, r.flush()...)
}

func TestResamplerKeepsTonesInPlace(t *testing.T) {
	for _, rate := range []int{8000, 11025, 22050, 24000, 32000, 44100, 47999, 48000, 96000, 192000} {
		for _, hz := range []float64{50, 440, 1000, 3400, 6500} {
			if hz > 0.42*float64(rate) {
				continue
			}
			out := resampleAll(tone(rate, hz, 0.5, 1), rate, 1000)
			if len(out) != Rate {
				t.Errorf("%d Hz: %d samples for one second", rate, len(out))
			}
			want := 85.0
			if rate == 47999 {
				want = 65 // its ratio has more phases than the filter bank
			}
			if got := snr(out, hz, 0.5); got < want {
				t.Errorf("%d Hz: tone of %g Hz has an SNR of %.1f dB, want %.0f", rate, hz, got, want)
			}
		}
	}
}

func TestResamplerRemovesWhatWouldAlias(t *testing.T) {
	for _, rate := range []int{44100, 48000} {
		for _, hz := range []float64{8300, 9000, 12000, 15000, 20000} {
			out := resampleAll(tone(rate, hz, 0.5, 1), rate, 4096)
			var e float64
			mid := out[Rate/10 : len(out)-Rate/10]
			for _, v := range mid {
				e += float64(v) * float64(v)
			}
			if db := 10 * math.Log10(e/float64(len(mid))/0.125); db > -80 {
				t.Errorf("%d Hz: tone of %g Hz comes through at %.1f dB", rate, hz, db)
			}
		}
	}
}

func TestResamplerDoesNotDependOnBlocks(t *testing.T) {
	x := clickTrack(44100)
	whole := resampleAll(x, 44100, len(x))
	for _, block := range []int{1, 7, 441, 100000} {
		got := resampleAll(x, 44100, block)
		if len(got) != len(whole) {
			t.Fatalf("blocks of %d: %d samples, want %d", block, len(got), len(whole))
		}
		for i := range got {
			if got[i] != whole[i] {
				t.Fatalf("blocks of %d: sample %d differs", block, i)
			}
		}
	}
}

func TestWAVEncodings(t *testing.T) {
	le := binary.LittleEndian
	want := []float64{0, 0.5, -0.5, 0.25, -1}
	for _, c := range []struct {
		name      string
		tag, bits int
		put       func(b []byte, v float64) []byte
		tolerance float64
	}{
		{"unsigned 8 bit", 1, 8, func(b []byte, v float64) []byte { return append(b, byte(128+v*128)) }, 0.01},
		{"16 bit", 1, 16, func(b []byte, v float64) []byte { return le.AppendUint16(b, uint16(int16(v*32768))) }, 1e-4},
		{"24 bit", 1, 24, func(b []byte, v float64) []byte {
			u := uint32(int32(v * (1 << 23)))
			return append(b, byte(u), byte(u>>8), byte(u>>16))
		}, 1e-6},
		{"32 bit", 1, 32, func(b []byte, v float64) []byte { return le.AppendUint32(b, uint32(int32(v*(1<<31)))) }, 1e-6},
		{"float", 3, 32, func(b []byte, v float64) []byte { return le.AppendUint32(b, math.Float32bits(float32(v))) }, 0},
		{"double", 3, 64, func(b []byte, v float64) []byte { return le.AppendUint64(b, math.Float64bits(v)) }, 0},
	} {
		for _, extensible := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, extensible %v", c.name, extensible), func(t *testing.T) {
				var body []byte
				for _, v := range want { // left, and silence on the right
					body = c.put(c.put(body, v), 0)
				}
				b := wavFile(c.tag, Rate, 2, c.bits, body)
				if extensible {
					fmtChunk := append([]byte{}, b[20:36]...)
					le.PutUint16(fmtChunk, 0xfffe)
					fmtChunk = append(fmtChunk, 22, 0, byte(c.bits), 0, 3, 0, 0, 0, byte(c.tag), 0)
					fmtChunk = append(fmtChunk, "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"...)
					e := append([]byte{}, b[:16]...)
					e = le.AppendUint32(e, uint32(len(fmtChunk)))
					e = append(e, fmtChunk...)
					e = append(e, "LIST\x05\x00\x00\x00abcde\x00"...) // odd length, padded
					e = append(e, b[36:]...)
					b = e
				}
				path := filepath.Join(t.TempDir(), "x")
				if err := os.WriteFile(path, b, 0o644); err != nil {
					t.Fatal(err)
				}
				for _, ch := range []Channel{Left, Right, Mix} {
					x, info := decodeAll(t, path, Options{Channel: ch, Decoder: PureGo})
					if len(x) != len(want) || info.Channels != 2 || info.SampleRate != Rate {
						t.Fatalf("got %d samples of %+v", len(x), info)
					}
					for i, v := range want {
						v *= map[Channel]float64{Left: 1, Right: 0, Mix: 0.5}[ch]
						if math.Abs(float64(x[i])-v) > c.tolerance {
							t.Errorf("channel %d, sample %d is %g, want %g", ch, i, x[i], v)
						}
					}
				}
			})
		}
	}
}

// writeFLAC encodes 16-bit mono with verbatim subframes.
func writeFLAC(t testing.TB, path string, x []float32, rate int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const block = 4096
	enc, err := flac.NewEncoder(f, &meta.StreamInfo{BlockSizeMin: block, BlockSizeMax: block, SampleRate: uint32(rate), NChannels: 1, BitsPerSample: 16, NSamples: uint64(len(x))})
	if err != nil {
		t.Fatal(err)
	}
	for num := uint64(0); len(x) > 0; num++ {
		n := min(block, len(x))
		samples := make([]int32, n)
		for i := range samples {
			samples[i] = int32(math.Round(float64(x[i]) * 32767))
		}
		x = x[n:]
		err := enc.WriteFrame(&frame.Frame{
			Header: frame.Header{HasFixedBlockSize: true, BlockSize: uint16(n), SampleRate: uint32(rate), Channels: frame.ChannelsMono, BitsPerSample: 16, Num: num},
			Subframes: []*frame.Subframe{{
				SubHeader: frame.SubHeader{Pred: frame.PredVerbatim}, Samples: samples, NSamples: n,
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
}

// The small recordings of testdata were made by ffmpeg from the click track: the decoders are tested where it is missing.
func TestClicksOfKeptRecordings(t *testing.T) {
	for _, name := range []string{"click.mp3", "click.opus", "click.flac"} {
		t.Run(name, func(t *testing.T) {
			x, info := decodeAll(t, filepath.Join("testdata", name), Options{Decoder: PureGo})
			checkClicks(t, x, 0)
			if info.FFmpeg != "" || math.Abs(info.Duration.Seconds()-clickSeconds) > 1e-3 || len(x) != int(clickSeconds*Rate) {
				t.Errorf("%d samples, %+v", len(x), info)
			}
			p, err := Probe(context.Background(), filepath.Join("testdata", name))
			if err != nil || p.Duration != info.Duration || p.Codec != info.Codec {
				t.Errorf("probe says %+v, %v", p, err)
			}
		})
	}
}

// The same samples in a WAV and in a FLAC file must come out the same, to the last one.
func TestContainersAgree(t *testing.T) {
	dir := t.TempDir()
	x := tone(44100, 700, 0.5, 1.2345)
	writeWAV(t, filepath.Join(dir, "x.wav"), x, 44100, 1)
	writeFLAC(t, filepath.Join(dir, "x.flac"), x, 44100)
	a, _ := decodeAll(t, filepath.Join(dir, "x.wav"), Options{})
	b, _ := decodeAll(t, filepath.Join(dir, "x.flac"), Options{})
	if len(a) != len(b) || len(a) != 19752 {
		t.Fatalf("%d and %d samples", len(a), len(b))
	}
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1.1/32768 { // the two writers round differently
			t.Fatalf("sample %d of %d is %g and %g", i, len(a), a[i], b[i])
		}
	}
}

func TestShippedStreamsDecodeInGo(t *testing.T) {
	for _, s := range []string{"s1", "s2", "s3"} {
		path := filepath.Join("..", "..", "testdata", "streams", s, "audio.opus")
		x, info := decodeAll(t, path, Options{Decoder: PureGo})
		if info.Codec != "opus" || math.Abs(float64(len(x))/Rate-240) > 0.05 {
			t.Errorf("%s: %d samples, %+v", s, len(x), info)
		}
	}
}

// Opus in Go must sound as it does through ffmpeg's build of the reference decoder, in each of its three modes.
func TestOpusAgreesWithReference(t *testing.T) {
	ffmpegOrSkip(t)
	dir := t.TempDir()
	wav := filepath.Join(dir, "in.wav")
	rate := 48000
	x := tone(rate, 300, 0.2, 3)
	for i := range x { // a chirp over the tone: wide enough to need every band
		at := float64(i) / float64(rate)
		x[i] += float32(0.2 * math.Sin(2*math.Pi*(100*at+1000*at*at)))
	}
	writeWAV(t, wav, x, rate, 2)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"SILK", []string{"-application", "voip", "-b:a", "14k"}},
		{"hybrid", []string{"-application", "voip", "-b:a", "40k"}},
		{"CELT", []string{"-application", "lowdelay", "-b:a", "96k"}},
		{"CELT 2.5 ms", []string{"-application", "lowdelay", "-b:a", "128k", "-frame_duration", "2.5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, ref := filepath.Join(dir, "x.opus"), filepath.Join(dir, "ref.wav")
			ffmpegMakes(t, append(append([]string{"-i", wav, "-c:a", "libopus"}, c.args...), path)...)
			ffmpegMakes(t, "-c:a", "libopus", "-i", path, "-c:a", "pcm_f32le", ref)
			got, _ := decodeAll(t, path, Options{Decoder: PureGo})
			want, _ := decodeAll(t, ref, Options{Decoder: PureGo})
			if d := len(got) - len(want); d < -1 || d > 1 {
				t.Fatalf("%d samples, want %d", len(got), len(want))
			}
			var signal, noise float64
			for i := range min(len(got), len(want)) {
				signal += float64(want[i]) * float64(want[i])
				noise += float64(got[i]-want[i]) * float64(got[i]-want[i])
			}
			if db := 10 * math.Log10(signal/noise); db < 30 {
				t.Errorf("SNR %.1f dB", db)
			} else {
				t.Logf("SNR %.1f dB", db)
			}
		})
	}
}

// MP3 in Go must sound as it does through ffmpeg, joint stereo and variable bit rates included.
func TestMP3AgreesWithFFmpeg(t *testing.T) {
	ffmpegOrSkip(t)
	dir := t.TempDir()
	wav, path := filepath.Join(dir, "in.wav"), filepath.Join(dir, "x.mp3")
	x := tone(44100, 300, 0.2, 2)
	for i := range x {
		at := float64(i) / 44100
		x[i] += float32(0.2 * math.Sin(2*math.Pi*(100*at+1500*at*at)))
	}
	writeWAV(t, wav, x, 44100, 2)
	for _, args := range [][]string{{"-b:a", "64k"}, {"-q:a", "2"}, {"-b:a", "128k", "-joint_stereo", "0"}, {"-b:a", "96k", "-ac", "1", "-ar", "32000"}} {
		ffmpegMakes(t, append(append([]string{"-i", wav, "-c:a", "libmp3lame"}, args...), path)...)
		got, _ := decodeAll(t, path, Options{Decoder: PureGo})
		want, _ := decodeAll(t, path, Options{Decoder: ByFFmpeg})
		if d := len(got) - len(want); d < -1 || d > 1 {
			t.Fatalf("%v: %d samples, want %d", args, len(got), len(want))
		}
		var signal, noise float64
		for i := range min(len(got), len(want)) {
			signal += float64(want[i]) * float64(want[i])
			noise += float64(got[i]-want[i]) * float64(got[i]-want[i])
		}
		if db := 10 * math.Log10(signal/noise); db < 60 {
			t.Errorf("%v: SNR %.1f dB", args, db)
		} else {
			t.Logf("%v: SNR %.1f dB", args, db)
		}
	}
}

func TestDamagedRecordings(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	get := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	flip := func(b []byte, at int) []byte {
		c := append([]byte{}, b...)
		c[at] ^= 0x40
		return c
	}
	writeFLAC(t, filepath.Join(dir, "long.flac"), clickTrack(44100), 44100)
	long, err := os.ReadFile(filepath.Join(dir, "long.flac"))
	if err != nil {
		t.Fatal(err)
	}
	wav := wavFile(1, 48000, 1, 16, make([]byte, 96000))
	mp3 := get("click.mp3")
	noTag := mp3[len(mp3)/2:] // begins within a frame
	for _, c := range []struct {
		name, file string
		bytes      []byte
		at, says   string // parts of the error; at may be empty where the file is refused at once
	}{
		{"empty", "a.wav", nil, "", "is empty"},
		{"web page named .flac", "b.flac", []byte("<!DOCTYPE html><html><body>Log in</body></html>"), "", "web page"},
		{"JSON named .mp3", "b.mp3", []byte(`{"error": "not found"}`), "", "text"},
		{"playlist named .mp4", "b.mp4", []byte("#EXTM3U\n#EXT-X-TARGETDURATION:10\nfile:///etc/passwd\n"), "", "playlist"},
		{"FLAC header only", "e.flac", long[:42], "00:00:00.000", "no whole frame"},
		{"FLAC with half a header", "f.flac", long[:20], "", "cut off"},
		{"WAV header only", "h.wav", wav[:44], "", "no sound"},
		{"WAV without data", "i.wav", wav[:36], "", "before any sound"},
		{"MP3 header only", "j.mp3", mp3[:300], "", "no whole frame"},
		{"Opus header only", "l.opus", get("click.opus")[:130], "", "no sound"},
		{"Opus with a damaged header", "m.opus", flip(get("click.opus"), 40), "", "does not begin"},
		{"MP3 without its beginning", "n.mp3", noTag, "", "not decoded in Go"},
		{"noise", "o.mkv", []byte("\x1a\x45\xdf\xa3\x00\x01\x02"), "", "not decoded in Go"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := tryDecode(put(c.file, c.bytes), Options{Decoder: PureGo})
			var p *problem.Error
			if !errors.As(err, &p) {
				t.Fatalf("got %v (%T), want a problem", err, err)
			}
			if p.Path == "" || p.Op != "decode" || !strings.HasPrefix(p.At, c.at) || !strings.Contains(p.Error(), c.says) {
				t.Errorf("got %q", p.Error())
			}
			t.Log(p)
		})
	}
	t.Run("directory", func(t *testing.T) {
		if _, err := Probe(context.Background(), dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("missing file", func(t *testing.T) {
		if _, err := Probe(context.Background(), filepath.Join(dir, "none.wav")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no such channel", func(t *testing.T) {
		if _, err := Open(context.Background(), put("ok.wav", wav), Options{Channel: Right}); err == nil || !strings.Contains(err.Error(), "no channel 2") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no such track", func(t *testing.T) {
		if _, err := Open(context.Background(), put("ok.wav", wav), Options{Track: 1}); err == nil || !strings.Contains(err.Error(), "track 1 does not exist") {
			t.Errorf("got %v", err)
		}
	})
}

func TestStreamedWAVHasNoLength(t *testing.T) {
	wav := wavFile(1, Rate, 1, 16, make([]byte, 32000))
	binary.LittleEndian.PutUint32(wav[4:], math.MaxUint32)
	binary.LittleEndian.PutUint32(wav[40:], math.MaxUint32)
	path := filepath.Join(t.TempDir(), "x.wav")
	if err := os.WriteFile(path, wav, 0o644); err != nil {
		t.Fatal(err)
	}
	x, info := decodeAll(t, path, Options{Decoder: PureGo})
	if len(x) != Rate || len(info.Warnings) != 1 {
		t.Errorf("%d samples, %+v", len(x), info)
	}
}

func TestMissingFFmpegSaysHowToInstallIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.mkv")
	if err := os.WriteFile(path, []byte("\x1a\x45\xdf\xa3\x00\x01\x02"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), path, Options{FFmpeg: filepath.Join(t.TempDir(), "ffmpeg")})
	if err == nil || !strings.Contains(err.Error(), "is not installed") || !strings.Contains(err.Error(), "install") {
		t.Errorf("got %v", err)
	}
}

func TestFFmpegErrors(t *testing.T) {
	ffmpegOrSkip(t)
	dir := t.TempDir()
	wav := filepath.Join(dir, "in.wav")
	writeWAV(t, wav, clickTrack(44100), 44100, 2)
	mp4, mkv := filepath.Join(dir, "-i.mp4"), filepath.Join(dir, "x.mkv")
	ffmpegMakes(t, "-i", wav, "-c:a", "aac", "-movflags", "+faststart", "file:"+mp4)
	ffmpegMakes(t, "-i", wav, "-c:a", "flac", mkv)
	t.Run("name that looks like an option", func(t *testing.T) {
		t.Chdir(dir)
		x, info := decodeAll(t, "-i.mp4", Options{})
		checkClicks(t, x, 0)
		if info.FFmpeg == "" || info.Codec != "aac" {
			t.Errorf("%+v", info)
		}
	})
	t.Run("video without sound", func(t *testing.T) {
		silent := filepath.Join(dir, "silent.mp4")
		ffmpegMakes(t, "-f", "lavfi", "-i", "color=size=64x64:rate=25:duration=1", "-c:v", "mpeg4", silent)
		if _, err := Probe(context.Background(), silent); err == nil || !strings.Contains(err.Error(), "no audio track") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("second track", func(t *testing.T) {
		two := filepath.Join(dir, "two.mkv")
		ffmpegMakes(t, "-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono:d=3.2", "-i", wav, "-map", "0:a", "-map", "1:a", "-c:a", "flac", two)
		x, info := decodeAll(t, two, Options{Track: 1})
		checkClicks(t, x, 0)
		if len(info.Tracks) != 2 || info.Track != 1 || info.SampleRate != 44100 || info.Tracks[0].SampleRate != 48000 {
			t.Errorf("%+v", info)
		}
		if _, err := Open(context.Background(), two, Options{Track: 2}); err == nil {
			t.Error("track 2 opens")
		}
	})
	t.Run("noise", func(t *testing.T) {
		path := filepath.Join(dir, "noise.mkv")
		if err := os.WriteFile(path, []byte("\x1a\x45\xdf\xa3\x00\x01\x02"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), path, Options{}); err == nil || !strings.Contains(err.Error(), "ffprobe cannot read it") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		r, err := Open(ctx, mp4, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		cancel()
		buf := make([]float32, 1<<16)
		for range 100 {
			if _, err = r.Read(buf); err != nil {
				break
			}
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestReadAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.wav")
	writeWAV(t, path, clickTrack(Rate), Rate, 1)
	r, err := Open(context.Background(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]float32, 10)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestClock(t *testing.T) {
	if got := clock(11*time.Hour + 2*time.Minute + 3456*time.Millisecond); got != "11:02:03.456" {
		t.Error(got)
	}
}

// FuzzOpen gives the decoders arbitrary bytes: they must end, in an error or in sound, without a panic.
func FuzzOpen(f *testing.F) {
	for _, name := range []string{"click.mp3", "click.opus", "click.flac"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 12000)])
		b[len(b)/2] ^= 0x55
		f.Add(slices.Concat(b[:len(b)*4/10], b[len(b)*5/10:])) // a bit is changed, and some bytes are gone
	}
	f.Add(wavFile(1, 44100, 2, 16, make([]byte, 400)))
	f.Add(wavFile(3, 8000, 1, 32, make([]byte, 400)))
	f.Add([]byte("RF64\xff\xff\xff\xffWAVEds64\x1c\x00\x00\x00"))
	f.Fuzz(hears)
}

// hears decodes bytes: it must come to an end, in an error or in sound, and give numbers only.
func hears(t *testing.T, b []byte) {
	in := &memory{b: b}
	k, err := sniff(in, int64(len(b)))
	if err != nil || k.refusal() != nil {
		return
	}
	src, err := openGo(in, int64(len(b)), k, Options{})
	if err != nil {
		return
	}
	r, err := newReader(context.Background(), "fuzz", src, Options{})
	if err != nil {
		return
	}
	buf := make([]float32, 4096)
	for total := 0; ; {
		n, err := r.Read(buf)
		total += n
		for _, v := range buf[:n] {
			if v != v {
				t.Fatal("a sample is not a number")
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) && total == 0 && r.heard > 0 {
				t.Fatal("sound was heard and none given")
			}
			return
		}
		if total > 1<<16 {
			return // a small file may hold much silence
		}
	}
}

// memory is a file in memory.
type memory struct {
	b  []byte
	at int64
}

func (m *memory) Read(p []byte) (int, error) {
	if m.at >= int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(p, m.b[m.at:])
	m.at += int64(n)
	return n, nil
}

func (m *memory) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart || offset < 0 {
		return 0, errors.New("only from the start")
	}
	m.at = offset
	return offset, nil
}

func BenchmarkResample48k(b *testing.B) {
	x := tone(48000, 440, 0.5, 10)
	b.SetBytes(int64(len(x) * 4))
	for b.Loop() {
		resampleAll(x, 48000, 4096)
	}
}

func BenchmarkOpus(b *testing.B) {
	path := filepath.Join("..", "..", "testdata", "streams", "s1", "audio.opus")
	seconds := 0.0
	for b.Loop() {
		x, _ := decodeAll(b, path, Options{Decoder: PureGo})
		seconds += float64(len(x)) / Rate
	}
	b.ReportMetric(seconds/b.Elapsed().Seconds(), "audio-s/s")
}

// A long recording must not take more memory than a short one.
func TestLongRecordingStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 29 MB")
	}
	path := filepath.Join(t.TempDir(), "long.wav")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const seconds, rate = 300, 48000
	head := wavFile(1, rate, 1, 16, nil)
	binary.LittleEndian.PutUint32(head[40:], seconds*rate*2)
	if _, err := f.Write(head); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(len(head)) + seconds*rate*2); err != nil { // a hole reads as silence
		t.Fatal(err)
	}
	f.Close()
	r, err := Open(context.Background(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	total, buf := 0, make([]float32, Rate)
	for {
		n, err := r.Read(buf)
		total += n
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if total != seconds*Rate {
		t.Errorf("%d samples", total)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d bytes were allocated on the way", grown)
	}
}
