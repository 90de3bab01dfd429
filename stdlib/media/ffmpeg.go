package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"banter/internal/problem"
	"banter/internal/progress"
)

// ffmpegSource reads the samples that an ffmpeg child process writes to its standard output.
type ffmpegSource struct {
	in      Info
	ch      int // channels that ffmpeg gives
	cancel  context.CancelFunc
	cmd     *exec.Cmd // nil when only probing
	out     io.ReadCloser
	stderr  tail
	gaps    gapLines
	buf     []byte
	frames  int64     // given
	taken   int64     // of these, from ffmpeg
	damage  damages   // found so far
	file    *os.File  // the recording, for what is fed
	feed    io.Reader // what ffmpeg reads instead of the file; nil for the file
	inserts []insert  // silence that is still to be put in
	cut     bool      // the file ends too early
	exact   bool      // in.Duration is the track's own, not the whole recording's
	clock   string    // filter that turns the track's timestamps into stream time
	copyTS  bool      // that filter wants timestamps as they are in the file
	strict  bool      // damage is an error
	waited  bool
	done    error
}

// insert is silence between what ffmpeg gives: so many sample frames after the first so many of these.
type insert struct{ after, frames int64 }

// missingFFmpeg is the error where a program cannot be found.
type missingFFmpeg struct{ program string }

func (m *missingFFmpeg) Error() string { return m.program + " is not installed" }

// installFFmpeg says how to get ffmpeg on this system.
func installFFmpeg() string {
	switch runtime.GOOS {
	case "darwin":
		return "install it with: brew install ffmpeg"
	case "windows":
		return "install it with: winget install ffmpeg"
	case "linux":
		return "install it with: sudo apt install ffmpeg, or sudo dnf install ffmpeg, or sudo pacman -S ffmpeg"
	}
	return "install ffmpeg and put it on the PATH"
}

// ffmpegFormats are the demuxers that may run. Those that follow references to other files (hls, dash, concat, image2,
// sdp) stay out.
const ffmpegFormats = "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpegts,mpeg,mpegvideo,flv,live_flv,kux,avi,asf,ogg,wav,w64,flac,mp3,aac,ac3,eac3,dts," +
	"truehd,aiff,caf,au,ape,wv,tta,tak,amr,amrnb,amrwb,nut,rm,dv,mxf,gxf,wtv,nsv,voc,xwma,ivf,h264,hevc,opus,vorbis"

// inputArgs are the arguments that open path: as a file whatever its name, and without a way to the network.
func inputArgs(path string) []string {
	return []string{"-protocol_whitelist", "file", "-format_whitelist", ffmpegFormats, "-i", "file:" + path}
}

// fedArgs are those for what comes by standard input.
func fedArgs() []string {
	return []string{"-protocol_whitelist", "pipe", "-format_whitelist", ffmpegFormats, "-i", "pipe:0"}
}

// programs finds ffmpeg and ffprobe.
func programs(opt Options) (ffmpeg, ffprobe string, err error) {
	if opt.FFmpeg != "" {
		if ffmpeg, err = exec.LookPath(opt.FFmpeg); err != nil {
			return "", "", &missingFFmpeg{opt.FFmpeg}
		}
		name := "ffprobe" + strings.TrimPrefix(filepath.Base(ffmpeg), "ffmpeg") // ffmpeg-7 and ffmpeg.exe, too
		if ffprobe, err = exec.LookPath(filepath.Join(filepath.Dir(ffmpeg), name)); err != nil {
			return "", "", &missingFFmpeg{filepath.Join(filepath.Dir(ffmpeg), name)}
		}
		return ffmpeg, ffprobe, nil
	}
	if ffmpeg, err = exec.LookPath("ffmpeg"); err != nil {
		return "", "", &missingFFmpeg{"ffmpeg"}
	}
	if ffprobe, err = exec.LookPath("ffprobe"); err != nil {
		return "", "", &missingFFmpeg{"ffprobe, which comes with ffmpeg,"}
	}
	return ffmpeg, ffprobe, nil
}

// FFmpegVersion says which ffmpeg would be used, for example "5.1.9-0+deb12u1".
func FFmpegVersion(ctx context.Context, opt Options) (string, error) {
	ffmpeg, _, err := programs(opt)
	if err != nil {
		return "", &problem.Error{Op: "find ffmpeg", Err: err, Fix: installFFmpeg()}
	}
	return ffmpegVersion(ctx, ffmpeg)
}

func ffmpegVersion(ctx context.Context, ffmpeg string) (string, error) {
	out, err := exec.CommandContext(ctx, ffmpeg, "-version").Output()
	if err != nil {
		return "", fmt.Errorf("%s does not run: %w", ffmpeg, err)
	}
	// ffmpeg version 5.1.9-0+deb12u1 Copyright (c) ...
	if f := strings.Fields(string(out[:min(len(out), 200)])); len(f) > 2 && f[1] == "version" {
		return f[2], nil
	}
	return "", fmt.Errorf("%s does not say its version", ffmpeg)
}

// probed is what ffprobe writes.
type probed struct {
	Streams []struct {
		Index      int               `json:"index"`
		Codec      string            `json:"codec_name"`
		SampleRate string            `json:"sample_rate"`
		Channels   int               `json:"channels"`
		StartTime  string            `json:"start_time"`
		Duration   string            `json:"duration"`
		Tags       map[string]string `json:"tags"`
	} `json:"streams"`
	Format struct {
		Name      string `json:"format_name"`
		StartTime string `json:"start_time"`
		Duration  string `json:"duration"`
	} `json:"format"`
}

func openFFmpeg(ctx context.Context, path string, size int64, k kind, opt Options, probing bool) (src source, err error) {
	ffmpeg, ffprobe, err := programs(opt)
	if err != nil {
		return nil, err
	}
	version, err := ffmpegVersion(ctx, ffmpeg)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &ffmpegSource{strict: opt.Strict, file: file}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if k == kindMP4 {
		if err := s.layMP4(size); err != nil {
			return nil, err
		}
	}
	found, err := s.probe(ctx, ffprobe, path)
	if err != nil {
		return nil, err
	}
	s.in.FFmpeg, s.in.Bytes = version, size
	s.in.Container = found.Format.Name
	if len(found.Streams) == 0 {
		return nil, &problem.Error{Err: fmt.Errorf("the recording (%s) has no audio track", found.Format.Name), Fix: "choose a recording with sound"}
	}
	for _, st := range found.Streams {
		rate, _ := strconv.Atoi(st.SampleRate)
		s.in.Tracks = append(s.in.Tracks, Track{
			Codec: st.Codec, SampleRate: rate, Channels: st.Channels,
			Language: st.Tags["language"], Title: st.Tags["title"],
		})
	}
	if s.in.Track, err = chooseTrack(s.in.Tracks, opt); err != nil {
		return nil, err
	}
	track := s.in.Tracks[s.in.Track]
	if track.SampleRate <= 0 || track.Channels <= 0 {
		return nil, &problem.Error{Err: fmt.Errorf("ffprobe finds no sound in the %s track", track.Codec), Fix: fixDamaged}
	}
	s.in.Codec, s.in.SampleRate, s.in.Channels = track.Codec, track.SampleRate, track.Channels
	st := found.Streams[s.in.Track]
	// The track may begin after the recording does, as may be with video; time counts from the recording's beginning.
	begin, _ := seconds(found.Format.StartTime)
	late := time.Duration(0)
	if a, ok := seconds(st.StartTime); ok {
		if late = max(a-begin, 0); late > maxMissing {
			return nil, fmt.Errorf("the track's clock begins %s after the recording", late.Round(time.Second))
		}
	}
	s.setClock(begin, late)
	if d, ok := seconds(st.Duration); ok {
		s.in.Duration, s.exact = d+late, true
	} else if d, ok := tagDuration(st.Tags["DURATION"]); ok {
		s.in.Duration, s.exact = d, true
	} else if d, ok := seconds(found.Format.Duration); ok {
		s.in.Duration = d
	}
	s.ch = track.Channels
	if opt.Channel == Mix && s.ch > 2 {
		s.ch = 1 // ffmpeg knows how to weigh surround channels
	}
	if probing {
		return s, nil
	}
	if s.in.Container == "aac" {
		if err := s.layADTS(size); err != nil {
			return nil, err
		}
	} else if short, err := endsShort(s.in.Container, s.file, size); err != nil {
		return nil, err
	} else if short {
		s.cut = true
	}
	return s, s.start(ctx, ffmpeg, path)
}

// layMP4 looks at an MP4 file's boxes: ffmpeg stops where there is none, so that the whole ones are to be fed to it.
func (s *ffmpegSource) layMP4(size int64) error {
	l, err := readMP4Layout(s.file, size)
	if err != nil {
		return err
	}
	if !l.index {
		return withoutIndex()
	}
	if l.fragments {
		s.cut = l.cut
		if l.broken > 0 {
			s.feed = joined(s.file, l.whole)
		}
	}
	return nil
}

// layADTS looks at an AAC file's frames: ffmpeg passes over what is none without a word, so that the whole ones are fed to it,
// and silence for the others is put between.
func (s *ffmpegSource) layADTS(size int64) error {
	l, err := readADTSLayout(s.file, size)
	if err != nil {
		return err
	}
	s.cut = l.cut
	if len(l.gaps) == 0 {
		return nil
	}
	s.feed = joined(s.file, l.whole)
	s.damage.strict = s.strict
	before := int64(0)
	frames := func(n int64) int64 { return n * l.first.samples * int64(s.in.SampleRate) / int64(l.first.rate) } // sample frames of n
	for _, g := range l.gaps {
		from := frames(g.at + before)
		before += g.frames
		s.inserts = append(s.inserts, insert{frames(g.at), frames(g.frames)})
		if err := s.damage.add(framesTime(from, s.in.SampleRate), framesTime(from+frames(g.frames), s.in.SampleRate), Guessed); err != nil {
			return err
		}
	}
	return nil
}

// setClock chooses how timestamps become stream time. begin is the first timestamp of the recording, late how much later
// the track's first one is.
func (s *ffmpegSource) setClock(begin, late time.Duration) {
	switch s.in.Container {
	case "mpegts", "mpeg", "mpegvideo", "live_flv", "ogg":
		// Timestamps may jump here, and ffmpeg repairs that; what it takes for zero depends on its version, so
		// time is set from the first sound that it gives.
		s.clock = fmt.Sprintf("asetpts=PTS-STARTPTS+(%.6f)/TB", late.Seconds())
		return
	}
	// A little before zero is an encoder's delay, to be cut off and not shifted.
	const delay = -200 * time.Millisecond
	if begin < 0 && begin > delay {
		begin = 0
	}
	s.copyTS = true
	s.clock = fmt.Sprintf("asetpts=PTS-(%.6f)/TB", begin.Seconds())
}

// probe runs ffprobe for the audio streams.
func (s *ffmpegSource) probe(ctx context.Context, ffprobe, path string) (*probed, error) {
	args := append([]string{"-v", "error", "-of", "json", "-select_streams", "a", "-show_entries",
		"format=format_name,start_time,duration:stream=index,codec_name,sample_rate,channels,start_time,duration:stream_tags"}, inputArgs(path)...)
	cmd := exec.CommandContext(ctx, ffprobe, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &bounded{b: &out, left: 4 << 20}, &s.stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &problem.Error{Err: fmt.Errorf("ffprobe cannot read it: %s", s.stderr.says(err)), Fix: "check that it is a recording, and fetch it again if it is damaged"}
	}
	p := &probed{}
	if err := json.Unmarshal(out.Bytes(), p); err != nil {
		return nil, fmt.Errorf("ffprobe's answer is not understood: %w", err)
	}
	return p, nil
}

// printGaps is a filter that changes nothing, and writes where the sound before a gap of more than 10 ms ends and where it
// goes on, in seconds, each on a line of its own among the errors (level 16).
const printGaps = "asetpts='PTS+0*(if(gt(N,0)*gt(T-ld(0),0.01),print(ld(0),16)+print(T,16))+st(0,T+S/SR))'"

// maxTSGap is how far a transport stream's clock may jump forward, in seconds, and be taken for a gap, as where a recorder was
// away. ffmpeg takes longer jumps, and those back, for a clock that was set anew, and goes on without a gap.
const maxTSGap = "3600"

// start begins decoding: raw float32 samples at the track's own rate. The aresample filter puts silence where the
// timestamps leave a gap, before the track's first sample, too, so that the sample count is the stream time.
func (s *ffmpegSource) start(ctx context.Context, ffmpeg, path string) error {
	ctx, s.cancel = context.WithCancel(ctx)
	args := []string{"-nostdin", "-hide_banner", "-v", "error", "-vn", "-sn", "-dn", "-reinit_filter", "0", "-dts_delta_threshold", maxTSGap}
	if s.copyTS {
		args = append(args, "-copyts")
	}
	if s.feed != nil {
		args = append(args, fedArgs()...)
	} else {
		args = append(args, inputArgs(path)...)
	}
	args = append(args, "-map", "0:a:"+strconv.Itoa(s.in.Track),
		"-af", s.clock+","+printGaps+",aresample=async=1:first_pts=0:min_hard_comp=0.01",
		"-c:a", "pcm_f32le", "-ac", strconv.Itoa(s.ch), "-ar", strconv.Itoa(s.in.SampleRate), "-f", "f32le", "pipe:1")
	s.cmd = exec.CommandContext(ctx, ffmpeg, args...)
	s.cmd.WaitDelay = 2 * time.Second
	s.stderr = tail{}
	s.gaps = gapLines{rest: &s.stderr, stop: s.cancel}
	s.cmd.Stdin, s.cmd.Stderr = s.feed, &s.gaps
	var err error
	if s.out, err = s.cmd.StdoutPipe(); err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return fmt.Errorf("%s does not start: %w", ffmpeg, err)
	}
	return nil
}

func (s *ffmpegSource) info() Info    { return s.in }
func (s *ffmpegSource) channels() int { return s.ch }

func (s *ffmpegSource) close() error {
	if s.cancel != nil {
		s.cancel()
	}
	if s.cmd != nil && !s.waited {
		s.waited = true
		io.Copy(io.Discard, io.LimitReader(s.out, 1<<20))
		s.cmd.Wait() // its error is that it was stopped
	}
	return s.file.Close()
}

func (s *ffmpegSource) read(dst []float32) (int, error) {
	if s.done != nil {
		return 0, s.done
	}
	room := int64(len(dst) / s.ch)
	if len(s.inserts) > 0 {
		next := &s.inserts[0]
		if s.taken == next.after {
			n := min(room, next.frames)
			clear(dst[:n*int64(s.ch)])
			s.frames += n
			if next.frames -= n; next.frames == 0 {
				s.inserts = s.inserts[1:]
			}
			return int(n) * s.ch, nil
		}
		room = min(room, next.after-s.taken)
	}
	want := int(room) * s.ch * 4
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	n, err := io.ReadFull(s.out, s.buf[:want])
	count := n / (4 * s.ch) * s.ch
	for i := range count {
		dst[i] = finite(math.Float32frombits(binary.LittleEndian.Uint32(s.buf[4*i:])))
	}
	s.frames += int64(count / s.ch)
	s.taken += int64(count / s.ch)
	if err == nil {
		return count, nil
	}
	s.done = s.end(err)
	return count, s.done
}

// endsEarly is what demuxers say of a file that is cut off.
var endsEarly = regexp.MustCompile(`partial file|File ended prematurely`)

// end waits for ffmpeg and judges whether all of the track was there.
func (s *ffmpegSource) end(readErr error) error {
	s.waited = true
	err := s.cmd.Wait()
	s.cancel()
	holes, gapErr := s.gaps.end()
	if !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF) {
		return readErr
	}
	if gapErr != nil {
		return gapErr
	}
	var exit *exec.ExitError
	if err != nil && (s.frames == 0 || !errors.As(err, &exit) || !exit.Exited()) { // it was killed, which the recording is not to blame for
		return fmt.Errorf("ffmpeg stopped: %s", s.stderr.says(err))
	}
	if s.frames == 0 {
		return fmt.Errorf("ffmpeg decodes no sound from it: %s", s.stderr.says(errors.New("no reason given")))
	}
	said := s.stderr.says(err)
	got := framesTime(s.frames, s.in.SampleRate)
	holes.endAt(framesTime(s.taken, s.in.SampleRate)) // the last packet of a cut file may have a time that is nonsense, and no sound
	s.damage.strict = s.strict
	if err := s.damage.take(holes); err != nil {
		return err
	}
	// Timestamps are rounded and the last packet may be padded, so a little less than promised is whole.
	short := s.in.Duration-got > max(500*time.Millisecond, s.in.Duration/1000)
	switch {
	case err != nil, s.cut, short && (s.exact || said != ""), endsEarly.MatchString(said):
		if err := s.damage.add(got, max(got, s.in.Duration), CutOff); err != nil {
			return err
		}
	case short:
		s.in.Warnings = append(s.in.Warnings, fmt.Sprintf("the sound ends at %s, but the recording promises %s", clock(got), clock(s.in.Duration)))
	}
	s.in = s.damage.put(s.in)
	if said != "" {
		s.in.Warnings = append(s.in.Warnings, "ffmpeg says: "+said)
	}
	return io.EOF
}

func (s *ffmpegSource) survey(ctx context.Context) error {
	buf := make([]float32, 1<<16)
	for told := int64(0); ; {
		_, err := s.read(buf)
		if second := s.frames / int64(s.in.SampleRate); second > told {
			told = second
			progress.Tell(ctx, progress.Report{Done: second, Total: int64(s.in.Duration.Seconds()), Unit: "s"})
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			s.in.Duration = framesTime(s.frames, s.in.SampleRate)
			return nil
		case err != nil:
			return err
		}
	}
}

// seconds reads a decimal number of seconds as ffprobe writes it.
func seconds(v string) (time.Duration, bool) {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > 1e9 {
		return 0, false
	}
	return time.Duration(math.Round(f * 1e9)), true
}

// tagDuration reads Matroska's DURATION tag, such as 00:04:00.021000000.
func tagDuration(v string) (time.Duration, bool) {
	part := strings.Split(v, ":")
	if len(part) != 3 {
		return 0, false
	}
	h, err1 := strconv.Atoi(part[0])
	m, err2 := strconv.Atoi(part[1])
	sec, ok := seconds(part[2])
	if err1 != nil || err2 != nil || !ok || h < 0 || h > 1e5 || m < 0 || m > 59 {
		return 0, false
	}
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + sec, true
}

// tail keeps the last lines that a program wrote.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 2000

// addresses are what ffmpeg writes after a component's name: they differ from run to run.
var addresses = regexp.MustCompile(` @ 0x[0-9a-f]+`)

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 2*tailBytes {
		t.b = append(t.b[:0], t.b[len(t.b)-tailBytes:]...)
	}
	return len(p), nil
}

// String is what was written last, in one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.b
	if len(b) > tailBytes {
		b = b[len(b)-tailBytes:]
	}
	text := addresses.ReplaceAllString(strings.ToValidUTF8(string(b), "?"), "")
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	if n := len(lines); n > 4 {
		lines = lines[n-4:]
	}
	return strings.Join(lines, "; ")
}

// says is the tail, or err where nothing was written; nothing, where there is no error either.
func (t *tail) says(err error) string {
	if s := t.String(); s != "" || err == nil {
		return s
	}
	return err.Error()
}

// gapLines takes the lines of [printGaps] out of what ffmpeg writes and passes on the rest.
type gapLines struct {
	rest   io.Writer
	line   []byte // not yet ended
	from   time.Duration
	begun  bool // from is set, and its other end is to come
	damage damages
	err    error
	stop   func() // called on the first error
}

// gapLine is a number as ffmpeg's expressions print it, with or without a name of what prints.
var gapLine = regexp.MustCompile(`^(?:\[[^\]]*\] )?(-?\d+\.\d{6})$`)

func (g *gapLines) Write(p []byte) (int, error) {
	for b := p; len(b) > 0; {
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 {
			if g.line = append(g.line, b...); len(g.line) > tailBytes { // no number
				g.pass()
			}
			break
		}
		g.line = append(g.line, b[:n]...)
		b = b[n:]
		g.pass()
	}
	return len(p), nil
}

// pass reads the line, or passes it on.
func (g *gapLines) pass() {
	m := gapLine.FindSubmatch(bytes.TrimRight(g.line, "\r\n"))
	if m == nil {
		g.rest.Write(g.line) // a tail, which takes all
		g.line = g.line[:0]
		return
	}
	at, ok := seconds(string(m[1]))
	g.line = g.line[:0]
	switch {
	case !ok:
	case !g.begun:
		g.from, g.begun = at, true
	default:
		g.begun = false
		if err := g.damage.add(max(g.from, 0), at, Silenced); err != nil && g.err == nil {
			g.err = err
			g.stop()
		}
	}
}

// end gives the gaps after the last line.
func (g *gapLines) end() (*damages, error) {
	if len(g.line) > 0 {
		g.pass()
	}
	return &g.damage, g.err
}

// bounded writes to b until its room is used up.
type bounded struct {
	b    *bytes.Buffer
	left int
}

func (w *bounded) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return 0, errors.New("the answer is too long")
	}
	w.left -= len(p)
	return w.b.Write(p)
}
