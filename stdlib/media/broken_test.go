package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banter/internal/problem"
)

// clicksLong is a track of a click each half second, off the grid so that a shift by a whole one shows, over faint noise.
func clicksLong(rate int, seconds float64) ([]float32, []float64) {
	var times []float64
	for at := 0.25; at < seconds-0.1; at += 0.5 {
		times = append(times, at+0.03*math.Sin(at*at))
	}
	x := make([]float32, int(seconds*float64(rate)))
	r := rand.New(rand.NewPCG(3, 4))
	for i := range x {
		x[i] = float32(0.003 * r.NormFloat64())
	}
	for _, c := range times {
		for i := max(0, int((c-0.02)*float64(rate))); i < min(len(x), int((c+0.02)*float64(rate))); i++ {
			d := float64(i)/float64(rate) - c
			x[i] += float32(0.8 * math.Exp(-d*d/(2*clickSigma*clickSigma)) * math.Cos(2*math.Pi*2000*d))
		}
	}
	return x, times
}

// heardOnTime holds x against the clicks, except for those in or at the edge of damage, and says how many it heard. They may be
// off by so many seconds.
func heardOnTime(t *testing.T, x []float32, times []float64, late, off float64, damage []Damage) int {
	t.Helper()
	heard, worst := 0, 0.0
	const edge = 80 * time.Millisecond // codecs need some sound to begin with
	for _, at := range times {
		at += late
		d := time.Duration(at * float64(time.Second))
		if at > float64(len(x))/Rate-0.1 || slices.ContainsFunc(damage, func(s Damage) bool { return d > s.From-edge && d < s.To+edge }) {
			continue
		}
		got := findClick(x, Rate, at)
		if !(math.Abs(got-at) <= off) {
			t.Errorf("click at %.4f s is heard at %.4f s", at, got)
			continue
		}
		worst = max(worst, math.Abs(got-at))
		heard++
	}
	t.Logf("%d of %d clicks heard, at most %.1f ms off", heard, len(times), worst*1000)
	return heard
}

func damagePart(b []byte, from, to float64, with func([]byte)) []byte {
	c := slices.Clone(b)
	with(c[int(from*float64(len(c))):int(to*float64(len(c)))])
	return c
}

// noise fills with bytes that are the same in each run.
func noise(b []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

func zeros(b []byte) { clear(b) }

// makeRecording has ffmpeg write the long click track, with a picture where asked.
func makeRecording(t *testing.T, path string, x []float32, args ...string) []byte {
	t.Helper()
	wav := filepath.Join(t.TempDir(), "in.wav")
	writeWAV(t, wav, x, 48000, 2)
	ffmpegMakes(t, append(append([]string{"-i", wav}, args...), path)...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is lost within a recording becomes silence of its length, and what follows is on time, whoever decodes.
func TestDamageWithinKeepsTime(t *testing.T) {
	ffmpegOrSkip(t)
	const seconds = 12
	x, times := clicksLong(48000, seconds)
	video := []string{"-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=12", "-map", "0:a", "-map", "1:v", "-c:v", "mpeg4", "-g", "10"}
	for _, c := range []struct {
		name, file string
		args       []string
		loss       Loss
		late       float64
		inGo       bool
	}{
		{"FLAC", "a.flac", []string{"-c:a", "flac"}, Silenced, 0, true},
		{"MP3, constant bit rate", "a.mp3", []string{"-c:a", "libmp3lame", "-b:a", "128k"}, Silenced, 0, true},
		{"MP3, variable bit rate", "v.mp3", []string{"-c:a", "libmp3lame", "-q:a", "4"}, Silenced, 0, true},
		{"MP3 without a tag", "n.mp3", []string{"-c:a", "libmp3lame", "-b:a", "128k", "-write_xing", "0"}, Guessed, 0.025, true},
		{"Opus in Ogg", "a.opus", []string{"-c:a", "libopus", "-b:a", "64k", "-page_duration", "100000"}, Silenced, 0, true},
		{"Opus in MKV with a picture", "a.mkv", slices.Concat(video, []string{"-c:a", "libopus", "-cluster_time_limit", "500"}), Silenced, 0, false},
		{"AAC in TS with a picture", "a.ts", slices.Concat(video, []string{"-c:a", "aac", "-f", "mpegts"}), Silenced, 1024.0 / 48000, false},
		{"Vorbis in Ogg", "a.ogg", []string{"-c:a", "libvorbis", "-page_duration", "100000"}, Silenced, 0, false},
		{"AAC in MP4", "a.mp4", []string{"-c:a", "aac", "-movflags", "+faststart"}, Silenced, 0, false},
		{"AAC in MP4, in fragments", "f.mp4", []string{"-c:a", "aac", "-movflags", "empty_moov+delay_moov+default_base_moof", "-frag_duration", "400000"}, Silenced, 0, false},
		{"AAC in ADTS", "a.aac", []string{"-c:a", "aac"}, Guessed, 1024.0 / 48000, false},
		{"AAC in FLV with a picture", "a.flv", slices.Concat(video[:len(video)-4], []string{"-c:v", "flv1", "-g", "10", "-c:a", "aac"}), Silenced, 1024.0 / 48000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), c.file)
			whole := makeRecording(t, path, x, c.args...)
			for how, with := range map[string]func([]byte){"noise": noise, "zeros": zeros} {
				if how == "zeros" && !c.inGo && testing.Short() {
					continue
				}
				t.Run(how, func(t *testing.T) {
					path := filepath.Join(t.TempDir(), c.file)
					if err := os.WriteFile(path, damagePart(whole, 0.4, 0.55, with), 0o644); err != nil {
						t.Fatal(err)
					}
					got, info := decodeAll(t, path, Options{})
					t.Log(info.Damage, info.Warnings)
					if (info.FFmpeg == "") != c.inGo {
						t.Errorf("decoded by %q", info.FFmpeg)
					}
					if len(info.Damage) == 0 || slices.ContainsFunc(info.Damage, func(d Damage) bool { return d.Loss != c.loss }) {
						t.Errorf("damage is %v", info.Damage)
					}
					off := 0.010
					if c.file == "a.aac" { // nothing tells how many frames are lost but the length of others
						off = 0.045
					}
					if n := heardOnTime(t, got, times, c.late, off, info.Damage); n < len(times)*6/10 {
						t.Errorf("only %d clicks are heard", n)
					}
					if d := float64(len(got))/Rate - seconds; math.Abs(d) > 0.08 {
						t.Errorf("it lasts %.3f s too long", d)
					}
					seen, err := Survey(context.Background(), path, Options{})
					if err != nil || !slices.Equal(seen.Damage, info.Damage) || !slices.Equal(seen.Warnings, info.Warnings) ||
						(seen.Duration-info.Duration).Abs() > time.Millisecond {
						t.Errorf("the survey says %v, %v and %q, %v", seen.Duration, seen.Damage, seen.Warnings, err)
					}
					var p *problem.Error
					if _, err := Survey(context.Background(), path, Options{Strict: true}); !errors.As(err, &p) || !strings.HasPrefix(p.At, "00:00:0") {
						t.Errorf("Strict: %v", err)
					}
				})
			}
		})
	}
}

// A recording that breaks off gives what is before that.
func TestCutRecordings(t *testing.T) {
	ffmpegOrSkip(t)
	const seconds = 12
	x, times := clicksLong(48000, seconds)
	picture := []string{"-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=12", "-map", "0:a", "-map", "1:v", "-g", "10"}
	for _, c := range []struct {
		name, file string
		args       []string
		late       float64
	}{
		{"WAV", "a.wav", []string{"-c:a", "pcm_s16le"}, 0},
		{"FLAC", "a.flac", []string{"-c:a", "flac"}, 0},
		{"MP3", "a.mp3", []string{"-c:a", "libmp3lame"}, 0},
		{"MP3 without a tag", "n.mp3", []string{"-c:a", "libmp3lame", "-write_xing", "0"}, 0.025},
		{"Opus", "a.opus", []string{"-c:a", "libopus", "-page_duration", "100000"}, 0},
		{"Vorbis", "a.ogg", []string{"-c:a", "libvorbis"}, 0},
		{"MP4 that begins with its index", "a.mp4", slices.Concat(picture, []string{"-c:v", "mpeg4", "-c:a", "aac", "-movflags", "+faststart"}), 0},
		{"MP4 in fragments", "f.mp4", slices.Concat(picture, []string{"-c:v", "mpeg4", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+delay_moov"}), 0},
		{"Opus in MKV", "a.mkv", slices.Concat(picture, []string{"-c:v", "mpeg4", "-c:a", "libopus"}), 0},
		{"Opus in WebM, live", "l.webm", []string{"-c:a", "libopus", "-live", "1"}, 0},
		{"FLV", "a.flv", slices.Concat(picture, []string{"-c:v", "flv1", "-c:a", "aac"}), 1024.0 / 48000},
		{"TS", "a.ts", slices.Concat(picture, []string{"-c:v", "mpeg4", "-c:a", "aac"}), 1024.0 / 48000},
		{"AAC", "a.aac", []string{"-c:a", "aac"}, 1024.0 / 48000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), c.file)
			whole := makeRecording(t, path, x, c.args...)
			if err := os.WriteFile(path, whole[:len(whole)*6/10-1], 0o644); err != nil {
				t.Fatal(err)
			}
			got, info := decodeAll(t, path, Options{})
			t.Log(info.Duration, info.Damage, info.Warnings)
			last := Damage{}
			if n := len(info.Damage); n > 0 {
				last = info.Damage[n-1]
			}
			if last.Loss != CutOff || (last.From-info.Duration).Abs() > 30*time.Millisecond {
				t.Errorf("damage is %v", info.Damage)
			}
			if n := heardOnTime(t, got, times, c.late, 0.010, info.Damage); n < len(times)*4/10 {
				t.Errorf("only %d clicks are heard", n)
			}
			seen, err := Survey(context.Background(), path, Options{})
			if err != nil || !slices.Equal(seen.Damage, info.Damage) || (seen.Duration-info.Duration).Abs() > time.Millisecond {
				t.Errorf("the survey says %v and %v, %v", seen.Duration, seen.Damage, err)
			}
			if _, err := Survey(context.Background(), path, Options{Strict: true}); err == nil {
				t.Error("Strict takes it")
			}
		})
	}
}

// WAV files of programs that were killed: what the header says of the length is not to be taken at its word.
func TestWAVHeadersThatWereNotFinished(t *testing.T) {
	whole := wavFile(1, Rate, 1, 16, make([]byte, 2*Rate))
	for _, c := range []struct {
		name       string
		riff, data uint32
		seconds    float64
		says       string
	}{
		{"lengths of zero", 0, 0, 1, "gives no length"},
		{"length of the header", 36, 0, 1, "gives no length"},
		{"the most there can be", math.MaxUint32, math.MaxUint32, 1, "gives no length"},
		{"2 GB", 0x7fffffff, 0x7fffffff - 36, 1, "gives no length"},
		{"more than there is", 36 + 4*Rate, 4 * Rate, 1, "cut off at 00:00:01.000 of the 00:00:02.000"},
		{"four billion bytes", 0, 0x7000_0000, 1, "cut off at 00:00:01.000 of the 16:18"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := slices.Clone(whole)
			binary.LittleEndian.PutUint32(b[4:], c.riff)
			binary.LittleEndian.PutUint32(b[40:], c.data)
			path := filepath.Join(t.TempDir(), "x.wav")
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			x, info := decodeAll(t, path, Options{Decoder: PureGo})
			if said := strings.Join(info.Warnings, "; "); float64(len(x))/Rate != c.seconds || !strings.Contains(said, c.says) {
				t.Errorf("%d samples, %q", len(x), said)
			}
			_, err := Survey(context.Background(), path, Options{Strict: true})
			if cut := strings.HasPrefix(c.says, "cut"); cut != (err != nil) {
				t.Errorf("Strict: %v", err)
			}
		})
	}
}

// Noise is no recording, whatever its name and its first bytes are, and is found out soon.
func TestNoiseIsNoRecording(t *testing.T) {
	b := make([]byte, 3<<20)
	noise(b)
	flac, err := os.ReadFile(filepath.Join("testdata", "click.flac"))
	if err != nil {
		t.Fatal(err)
	}
	mp3, err := os.ReadFile(filepath.Join("testdata", "click.mp3"))
	if err != nil {
		t.Fatal(err)
	}
	tag, _ := parseMP3Header(mp3)
	opus, err := os.ReadFile(filepath.Join("testdata", "click.opus"))
	if err != nil {
		t.Fatal(err)
	}
	for name, start := range map[string][]byte{
		"noise": nil, "FLAC header": flac[:42], "MP3 tag": mp3[:tag.bytes], "Opus header": opus[:200], "ID3": []byte("ID3\x04\x00\x00\x00\x00\x00\x0a0123456789"),
		"Matroska": []byte("\x1a\x45\xdf\xa3"), "MP4": []byte("\x00\x00\x00\x18ftypisom"), "TS": []byte("G\x40\x00\x10"), "FLV": []byte("FLV\x01\x05\x00\x00\x00\x09"),
		"AAC": []byte("\xff\xf1\x50\x80"), "MPEG": []byte("\x00\x00\x01\xba"), "zeros": make([]byte, 3<<20),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.bin")
			if err := os.WriteFile(path, slices.Concat(start, b), 0o644); err != nil {
				t.Fatal(err)
			}
			info, err := Survey(context.Background(), path, Options{})
			if err == nil {
				t.Errorf("it is taken for %+v", info)
			}
			t.Log(err)
		})
	}
}

// FuzzLayouts gives the walks over MP4 boxes and AAC frames arbitrary bytes: what they call whole must lie in the file, in order.
func FuzzLayouts(f *testing.F) {
	aac := []byte{0xff, 0xf1, 0x50, 0x80, 1, 0x7f, 0xfc, 0, 0, 0, 0}
	f.Add(slices.Concat(aac, aac, aac, []byte("lost"), aac, aac, aac[:9]))
	box := func(name string, n int) []byte {
		return append(append([]byte{0, 0, 0, byte(n)}, name...), make([]byte, n-8)...)
	}
	f.Add(slices.Concat(box("ftyp", 16), box("moov", 32), box("moof", 24), box("mdat", 40), []byte("noise noise"), box("moof", 24), box("mdat", 40)))
	f.Add(slices.Concat(box("ftyp", 16), []byte("\x00\x00\x00\x01mdat\x00\x00\x00\x00\x00\x00\x00\x14abcd"), box("moov", 32)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, size := bytes.NewReader(b), int64(len(b))
		inOrder := func(parts []stretch) {
			at := int64(0)
			for _, p := range parts {
				if p.from < at || p.to <= p.from || p.to > size {
					t.Fatalf("%v of %d bytes", parts, size)
				}
				at = p.to
			}
		}
		if l, err := readMP4Layout(r, size); err == nil {
			inOrder(l.whole)
		}
		if l, err := readADTSLayout(r, size); err == nil {
			inOrder(l.whole)
			for _, g := range l.gaps {
				if g.frames < 1 || g.frames > size {
					t.Fatalf("%d frames are lost in %d bytes", g.frames, size)
				}
			}
		}
	})
}
