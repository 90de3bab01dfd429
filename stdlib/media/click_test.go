package media

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A click is a short burst whose middle is known to the sample: a 2 kHz tone under a Gaussian of 1.5 ms.
const clickSigma = 0.0015

// clickTimes are the middles of the clicks in a click track, in seconds.
var clickTimes = []float64{0.25, 0.7713, 1.5, 2.2047, 2.9}

const clickSeconds = 3.2

// clickTrack makes a click track at rate Hz.
func clickTrack(rate int) []float32 {
	x := make([]float32, int(clickSeconds*float64(rate)))
	for i := range x {
		now := float64(i) / float64(rate)
		for _, c := range clickTimes {
			if d := now - c; math.Abs(d) < 6*clickSigma {
				x[i] += float32(0.8 * math.Exp(-d*d/(2*clickSigma*clickSigma)) * math.Cos(2*math.Pi*2000*d))
			}
		}
	}
	return x
}

// findClick is the energy centroid of x within 60 ms of the expected time, in seconds.
func findClick(x []float32, rate int, expected float64) float64 {
	from, to := max(0, int((expected-0.06)*float64(rate))), min(len(x), int((expected+0.06)*float64(rate)))
	var sum, weighted float64
	for i := from; i < to; i++ {
		e := float64(x[i]) * float64(x[i])
		sum += e
		weighted += e * float64(i)
	}
	if sum < 1e-3 {
		return math.NaN()
	}
	return weighted / sum / float64(rate)
}

// writeWAV writes 16-bit PCM with each channel the same.
func writeWAV(t testing.TB, path string, x []float32, rate, channels int) {
	t.Helper()
	body := make([]byte, 0, len(x)*2*channels)
	for _, v := range x {
		for range channels {
			body = binary.LittleEndian.AppendUint16(body, uint16(int16(math.RoundToEven(float64(v)*32767))))
		}
	}
	if err := os.WriteFile(path, wavFile(1, rate, channels, 16, body), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wavFile puts a plain header before the samples.
func wavFile(tag, rate, channels, bits int, body []byte) []byte {
	le := binary.LittleEndian
	b := append([]byte("RIFF"), 0, 0, 0, 0)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, uint16(tag))
	b = le.AppendUint16(b, uint16(channels))
	b = le.AppendUint32(b, uint32(rate))
	b = le.AppendUint32(b, uint32(rate*channels*bits/8))
	b = le.AppendUint16(b, uint16(channels*bits/8))
	b = le.AppendUint16(b, uint16(bits))
	b = append(b, "data"...)
	b = le.AppendUint32(b, uint32(len(body)))
	b = append(b, body...)
	le.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

// decodeAll reads a whole recording.
func decodeAll(t testing.TB, path string, opt Options) ([]float32, Info) {
	t.Helper()
	x, info, err := tryDecode(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return x, info
}

func tryDecode(path string, opt Options) ([]float32, Info, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := Open(ctx, path, opt)
	if err != nil {
		return nil, Info{}, err
	}
	defer r.Close()
	var all []float32
	buf := make([]float32, 1000)
	for {
		n, err := r.Read(buf)
		all = append(all, buf[:n]...)
		if errors.Is(err, io.EOF) {
			return all, r.Info(), nil
		}
		if err != nil {
			return all, r.Info(), err
		}
	}
}

// ffmpegOrSkip skips the test where ffmpeg is missing or lacks an encoder.
func ffmpegOrSkip(t testing.TB) {
	t.Helper()
	for _, p := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: it makes the recordings of this test", p)
		}
	}
}

func ffmpegMakes(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command("ffmpeg", append([]string{"-nostdin", "-v", "error", "-y"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("this ffmpeg cannot make the recording: %v: %s", err, out)
	}
}

// Each click must come out within 10 ms of where it went in, whatever container and codec lie between.
func TestClicksAreOnTime(t *testing.T) {
	ffmpegOrSkip(t)
	dir := t.TempDir()
	forms := []struct {
		name, file string
		encode     []string
		late       int  // samples of encoder delay that the container cannot mark: the times are as stamped
		inGo       bool // decoded without ffmpeg
	}{
		{name: "WAV", file: "a.wav", encode: []string{"-c:a", "pcm_s24le"}, inGo: true},
		{name: "FLAC", file: "a.flac", encode: []string{"-c:a", "flac"}, inGo: true},
		{name: "MP3", file: "a.mp3", encode: []string{"-c:a", "libmp3lame", "-b:a", "128k"}, inGo: true},
		{name: "MP3 VBR", file: "v.mp3", encode: []string{"-c:a", "libmp3lame", "-q:a", "4"}, inGo: true},
		{name: "Opus in Ogg", file: "a.opus", encode: []string{"-c:a", "libopus", "-b:a", "64k"}, inGo: true},
		{name: "Opus in Ogg, voice", file: "voip.opus", encode: []string{"-c:a", "libopus", "-b:a", "20k", "-application", "voip"}, inGo: true},
		{name: "Vorbis in Ogg", file: "a.ogg", encode: []string{"-c:a", "libvorbis"}},
		{name: "AAC in MP4", file: "a.mp4", encode: []string{"-c:a", "aac", "-b:a", "128k"}},
		{name: "AAC in M4A, fragmented", file: "frag.m4a", encode: []string{"-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+delay_moov"}},
		{name: "AAC in MKV", file: "aac.mkv", encode: []string{"-c:a", "aac"}, late: 1024},
		{name: "AAC in MPEG-TS", file: "a.ts", encode: []string{"-c:a", "aac"}, late: 1024},
		{name: "AAC in FLV", file: "a.flv", encode: []string{"-c:a", "aac"}, late: 1024},
		{name: "Opus in MKV", file: "a.mkv", encode: []string{"-c:a", "libopus", "-b:a", "96k"}},
		{name: "Opus in WebM", file: "a.webm", encode: []string{"-c:a", "libopus", "-b:a", "96k"}},
		{name: "MP3 in MKV", file: "mp3.mkv", encode: []string{"-c:a", "libmp3lame"}, late: 576 + mp3Delay},
	}
	for _, rate := range []int{44100, 48000} {
		wav := filepath.Join(dir, "in.wav")
		writeWAV(t, wav, clickTrack(rate), rate, 2)
		for n, f := range forms {
			if asked := n < 6 || f.file == "a.mp4" || f.file == "a.mkv"; rate != 48000 && !asked {
				continue // the rarer forms at one rate
			}
			for _, dec := range []Decoder{Auto, ByFFmpeg} {
				if dec == ByFFmpeg && (!f.inGo || rate != 44100) {
					continue // Auto is ffmpeg, or once is enough
				}
				name := f.name + map[int]string{44100: " 44.1 kHz", 48000: " 48 kHz"}[rate] + map[Decoder]string{Auto: "", ByFFmpeg: " by ffmpeg"}[dec]
				t.Run(name, func(t *testing.T) {
					path := filepath.Join(dir, f.file)
					ffmpegMakes(t, append(append([]string{"-i", wav}, f.encode...), path)...)
					x, info := decodeAll(t, path, Options{Decoder: dec})
					if inGo := info.FFmpeg == ""; inGo != (f.inGo && dec == Auto) {
						t.Errorf("decoded in Go: %v", inGo)
					}
					stored := float64(f.late) / float64(info.SampleRate)
					checkClicks(t, x, stored)
					if d := info.Duration.Seconds() - clickSeconds; math.Abs(d) > 0.05 {
						t.Errorf("duration is off by %.3f s", d)
					}
				})
			}
		}
	}
}

func checkClicks(t *testing.T, x []float32, shift float64) {
	t.Helper()
	worst := 0.0
	for _, at := range clickTimes {
		got := findClick(x, Rate, at+shift)
		if d := got - at - shift; math.IsNaN(d) || math.Abs(d) > 0.010 {
			t.Errorf("click at %.4f s is heard at %.4f s", at+shift, got)
		} else if math.Abs(d) > math.Abs(worst) {
			worst = d
		}
	}
	t.Logf("worst error %.2f ms", 1000*worst)
}

// Video may begin before its sound, or after; an edit list may cut the start away.
func TestClicksOfVideoAreOnTime(t *testing.T) {
	ffmpegOrSkip(t)
	dir := t.TempDir()
	wav := filepath.Join(dir, "in.wav")
	writeWAV(t, wav, clickTrack(48000), 48000, 2)
	video := []string{"-f", "lavfi", "-i", "color=size=64x64:rate=25:duration=4"}
	for _, c := range []struct {
		name  string
		args  []string
		file  string
		shift float64
	}{
		{"MP4, sound 0.5 s late", append(append([]string{}, video...), "-itsoffset", "0.5", "-i", wav, "-c:v", "mpeg4", "-c:a", "aac"), "late.mp4", 0.5},
		{"MKV, sound 0.5 s late", append(append([]string{}, video...), "-itsoffset", "0.5", "-i", wav, "-c:v", "mpeg4", "-c:a", "libopus"), "late.mkv", 0.5},
		{"TS, sound 0.5 s late", append(append([]string{}, video...), "-itsoffset", "0.5", "-i", wav, "-c:v", "mpeg2video", "-c:a", "aac"), "late.ts", 0.5},
		{"MKV, picture 0.3 s late", append(append([]string{"-itsoffset", "0.3"}, video...), "-i", wav, "-c:v", "mpeg4", "-c:a", "aac"), "early.mkv", 1024.0 / 48000},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, c.file)
			ffmpegMakes(t, append(c.args, path)...)
			x, _ := decodeAll(t, path, Options{})
			checkClicks(t, x, c.shift)
		})
	}
	t.Run("MP4 cut without re-encoding", func(t *testing.T) {
		// A cut between packets keeps the packet before the cut and hides its beginning behind an edit list.
		whole, cutFile := filepath.Join(dir, "whole.mp4"), filepath.Join(dir, "cut.mp4")
		ffmpegMakes(t, "-i", wav, "-c:a", "aac", whole)
		ffmpegMakes(t, "-ss", "0.11", "-i", whole, "-c", "copy", cutFile)
		x, _ := decodeAll(t, cutFile, Options{})
		checkClicks(t, x, -0.11)
	})
	t.Run("MKV with a gap in its sound", func(t *testing.T) {
		// The second half is stamped 2 s later than the first one ends.
		path := filepath.Join(dir, "gap.mkv")
		ffmpegMakes(t, "-i", wav, "-af", "asetpts=PTS+gt(T\\,1.2)*2/TB", "-c:a", "pcm_s16le", path)
		x, _ := decodeAll(t, path, Options{})
		for _, at := range clickTimes {
			shift := 0.0
			if at > 1.2 {
				shift = 2
			}
			if got := findClick(x, Rate, at+shift); math.IsNaN(got) || math.Abs(got-at-shift) > 0.010 {
				t.Errorf("click at %.4f s is heard at %.4f s", at+shift, got)
			}
		}
	})
}
