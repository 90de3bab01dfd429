package chat

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// packed writes raw as gzip, zstd or zip data of the given level, flushed after every so many bytes so that there are many blocks.
func packed(tb testing.TB, raw []byte, as packing, level, every int) []byte {
	tb.Helper()
	var b bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Flush() error
		Close() error
	}
	var err error
	var archive *zip.Writer
	switch as {
	case packedZstd:
		w, err = zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.EncoderLevel(1+level%4)), zstd.WithEncoderConcurrency(1))
	case packedZip:
		archive = zip.NewWriter(&b)
		var flushed *flate.Writer
		archive.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
			flushed, err = flate.NewWriter(out, level%10)
			return flushed, err
		})
		var file io.Writer
		if file, err = archive.Create("vods/chat.json"); err == nil {
			w = inArchive{file, flushed}
		}
	default:
		w, err = gzip.NewWriterLevel(&b, level%10)
	}
	for len(raw) > 0 && err == nil {
		n := min(len(raw), max(every, 1))
		if _, err = w.Write(raw[:n]); err == nil {
			err = w.Flush()
		}
		raw = raw[n:]
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil && archive != nil {
		err = archive.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// inArchive writes a file of a zip archive, and can flush what compresses it.
type inArchive struct {
	io.Writer
	flushed *flate.Writer
}

func (a inArchive) Flush() error { return a.flushed.Flush() }
func (a inArchive) Close() error { return nil } // the archive closes it

// holdsPrefix checks that part, read from a cut file, has the first messages of whole, in the order of the file. The last one
// may lack lines that it went on over.
func holdsPrefix(t *testing.T, part, whole *Log) {
	t.Helper()
	inOrder := func(l *Log) []Message {
		m := slices.Clone(l.Messages)
		slices.SortFunc(m, func(a, b Message) int { return int(a.Position - b.Position) })
		return m
	}
	got, want := inOrder(part), inOrder(whole)
	if len(got) > len(want) {
		t.Fatalf("%d messages of %d", len(got), len(want))
	}
	for i, m := range got {
		w := want[i]
		if m.Position != w.Position || m.Author.Name != w.Author.Name || m.Text != w.Text && (i < len(got)-1 || !strings.HasPrefix(w.Text, m.Text)) {
			t.Fatalf("message %d is %s, in the whole log %s", i, line(m), line(w))
		}
	}
}

// TestCutPacked checks that a half-downloaded log of each format gives messages as the whole one has them, and one malformed
// record where it breaks off; Strict makes that an error.
func TestCutPacked(t *testing.T) {
	for _, as := range []packing{packedGzip, packedZstd, packedZip} {
		var none []string // samples so small that no cut leaves a message
		for _, c := range formatCases {
			raw, err := os.ReadFile(filepath.Join("testdata", c.file))
			if err != nil {
				t.Fatal(err)
			}
			whole, err := Read(t.Context(), bytes.NewReader(raw), c.options)
			if err != nil {
				t.Fatal(err)
			}
			data := packed(t, raw, as, 9, len(raw)/8)
			some, end := false, len(data)-8
			if as == packedZip { // nothing is lost with the directory
				end = bytes.Index(data, []byte(zipDirectory))
			}
			for cut := len(data) / 2; cut < end; cut += 19 {
				log, err := Read(t.Context(), bytes.NewReader(data[:cut]), c.options)
				if err != nil {
					continue // too little is left
				}
				some = true
				n := len(log.Report.Problems)
				if n == 0 || !strings.Contains(log.Report.Problems[n-1].Reason, "truncated "+string(as)) {
					t.Fatalf("%s cut at %d: %+v", c.file, cut, log.Report)
				}
				holdsPrefix(t, log, whole)
				again, err := Read(t.Context(), &dribble{b: data[:cut]}, c.options)
				if err != nil || !reflect.DeepEqual(again, log) {
					t.Fatalf("%s cut at %d reads differently in crumbs: %v", c.file, cut, err)
				}
				strict := c.options
				strict.Strict = true
				if _, err := Read(t.Context(), bytes.NewReader(data[:cut]), strict); err == nil {
					t.Fatalf("%s cut at %d: Strict took it", c.file, cut)
				}
			}
			if !some {
				none = append(none, c.file)
			}
		}
		if len(none) > len(formatCases)/3 {
			t.Errorf("%s: nothing was readable in any cut of %v", as, none)
		}
	}
}

// FuzzCutPacked cuts packed logs anywhere: what is read is the beginning of what the whole file holds, and the end is named.
// Bytes in the middle may be changed, too: then the checksums, or the reader, must speak, and nothing may break.
func FuzzCutPacked(f *testing.F) {
	type sample struct {
		raw   []byte
		whole *Log
		opt   Options
	}
	var samples []sample
	for _, c := range formatCases {
		raw, err := os.ReadFile(filepath.Join("testdata", c.file))
		if err != nil {
			f.Fatal(err)
		}
		whole, err := Read(f.Context(), bytes.NewReader(raw), c.options)
		if err != nil {
			f.Fatal(err)
		}
		samples = append(samples, sample{raw, whole, c.options})
		f.Add(uint8(len(samples)-1), uint8(len(samples)), uint8(9), uint16(200), uint16(300), uint16(0), uint8(0))
	}
	f.Fuzz(func(t *testing.T, which, how, level uint8, every, cut, at uint16, change uint8) {
		s := samples[int(which)%len(samples)]
		as := []packing{packedGzip, packedZstd, packedZip}[how%3]
		data := packed(t, s.raw, as, int(level), 1+int(every))
		cutAt := int(cut) % (len(data) + 1)
		data = data[:cutAt:cutAt]
		if len(data) > 0 && change != 0 {
			data[int(at)%len(data)] ^= change
			if log, err := Read(t.Context(), bytes.NewReader(data), s.opt); err == nil && log.Report.Kept != int64(len(log.Messages)) {
				t.Fatalf("%+v", log.Report)
			}
			return
		}
		log, err := Read(t.Context(), bytes.NewReader(data), s.opt)
		if err != nil {
			return // too little is left to tell the format, or no message
		}
		holdsPrefix(t, log, s.whole)
		if len(log.Messages) < len(s.whole.Messages) {
			n := len(log.Report.Problems)
			if n == 0 || !strings.Contains(log.Report.Problems[n-1].Reason, "truncated "+string(as)) {
				t.Fatalf("cut at %d: %+v", cutAt, log.Report)
			}
		}
	})
}

// bzip2Sample is testdata/twitchdownloader.txt as bzip2 writes it.
const bzip2Sample = "QlpoOTFBWSZTWQ6ew5IAAB/fwQAQQGB5EDAIAAon59wAACEAQCAAYGgp6ImJ4pozRH5UDGExMmAmAAtV0w0jwXChrpAMfJYywItyoVVQKYtjlai02mB2MaAWA2zZnvf3eHjlu4UyqFkg5VwaNMA5uNfXTzJY1GXQPhE+/k/i7kinChIB09hyQA=="

// xzSample is the same as xz writes it, with a dictionary of 64 MB.
const xzSample = "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4ACAAGtdAC2MA0MoxiN7pcKJ9OMRNWNgBVfrDP2o5y3J/Lyb3CbyaWB/kHxFkruLqnuSn9Wam34H7ZYfHhlfM1Y4xWxDeaedDjtRl2t6UtxfnWi2Gs6ZPMK0vQXScvVlKfX9uPdmcrgYbUVqDi4cNjugAAC8moQDITsNEgABhwGBAQAAZGKnqbHEZ/sCAAAAAARZWg=="

// TestPackings checks that a log reads the same however it is packed, and what is said of what cannot be unpacked.
func TestPackings(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "twitchdownloader.txt"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := Read(t.Context(), bytes.NewReader(raw), Options{})
	if err != nil {
		t.Fatal(err)
	}
	bz, err := base64.StdEncoding.DecodeString(bzip2Sample)
	if err != nil {
		t.Fatal(err)
	}
	xzData, err := base64.StdEncoding.DecodeString(xzSample)
	if err != nil {
		t.Fatal(err)
	}
	greedy := slices.Clone(xzData) // its block's header begins at byte 12, and has the size of the dictionary in byte 16
	greedy[16] = 38                // 2 GB
	binary.LittleEndian.PutUint32(greedy[20:], crc32.ChecksumIEEE(greedy[12:20]))
	zst := packed(t, raw, packedZstd, 2, 1<<20)
	skippable := []byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc")
	for name, data := range map[string][]byte{
		"zstd": zst, "two zstd frames": slices.Concat(packed(t, raw[:40], packedZstd, 1, 7), packed(t, raw[40:], packedZstd, 3, 50)),
		"a frame to be skipped": slices.Concat(skippable, zst), "bzip2": bz,
		"xz": xzData, "xz with padding": slices.Concat(xzData, make([]byte, 8)), "zip": packed(t, raw, packedZip, 9, 1<<20),
		"zip of a stored file": zipOf(t, zip.Store, "chat.txt", raw), "zip with litter": zipOf(t, zip.Deflate, "a/", nil, "__MACOSX/._chat.txt", []byte("x"), "a/chat.txt", raw, "a/.DS_Store", []byte("y")),
	} {
		got, err := Read(t.Context(), &dribble{b: data}, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the log reads differently:\n got %+v\nwant %+v", name, got, want)
		}
	}
	stored := zipOf(t, zip.Store, "chat.txt", raw)
	damagedZip, encryptedZip := slices.Clone(stored), slices.Clone(stored)
	damagedZip[60] ^= 1
	encryptedZip[6] |= 1
	gz := packed(t, raw, packedGzip, 9, 1<<20)
	for name, data := range map[string][]byte{"gzip": slices.Concat(gz, make([]byte, 512)), "zstd": slices.Concat(zst, make([]byte, 512)), "xz": slices.Concat(xzData, []byte("something else"))} {
		got, err := Read(t.Context(), bytes.NewReader(data), Options{})
		if err != nil {
			t.Errorf("%s with more behind it: %v", name, err)
			continue
		}
		if n := len(got.Report.Problems); len(got.Messages) != len(want.Messages) || !strings.Contains(got.Report.Problems[n-1].Reason, "is something else") {
			t.Errorf("%s with more behind it: %+v", name, got.Report)
		}
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a window of 2 GB":         {[]byte("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"), "more than 128 MB of memory"},
		"a frame of 1 TB":          {[]byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00"), "more than 128 MB of memory"},
		"a dictionary":             {[]byte("\x28\xb5\x2f\xfd\x01\x58\x07\x01\x00\x00"), "needs a dictionary"},
		"cut in its header":        {zst[:5], "truncated zstd data: the file breaks off after 5 bytes"},
		"cut in gzip header":       {gz[:7], "truncated gzip data: the file breaks off after 7 bytes"},
		"an xz dictionary of 2 GB": {greedy, "more than 128 MB of memory"},
		"cut in the xz header":     {xzData[:9], "truncated xz data: the file breaks off after 9 bytes"},
		"xz, damaged":              {slices.Concat(xzData[:60], []byte{xzData[60] ^ 0xff}, xzData[61:]), "damaged xz data"},
		"zip of two files":         {zipOf(t, zip.Deflate, "one.json", raw, "two.json", raw), `which is the chat log: "one.json", "two.json"`},
		"zip without files":        {zipOf(t, zip.Deflate), "there is no file in this zip archive"},
		"zip of folders":           {zipOf(t, zip.Deflate, "a/", nil), "there is no file in this zip archive"},
		"cut in the zip header":    {zipOf(t, zip.Deflate, "chat.txt", raw)[:33], "truncated zip data: the file breaks off after 33 bytes"},
		"zip, damaged":             {damagedZip, "damaged zip data"},
		"zip, encrypted":           {encryptedZip, "is encrypted"},
		"bit rot":                  {slices.Concat(gz[:20], []byte{gz[20] ^ 0xff}, gz[21:]), "damaged gzip data"},
		"bzip2, damaged":           {slices.Concat(bz[:20], []byte{bz[20] ^ 0xff}, bz[21:]), "damaged bzip2 data"},
	} {
		if _, err := Read(t.Context(), bytes.NewReader(c.data), Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// zipOf is an archive of files, of which each has a name and bytes. Stored ones have their sizes before them.
func zipOf(tb testing.TB, method uint16, files ...any) []byte {
	tb.Helper()
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		raw, _ := files[i+1].([]byte)
		header := &zip.FileHeader{Name: files[i].(string), Method: method}
		var w io.Writer
		var err error
		if method == zip.Store {
			header.CRC32, header.CompressedSize64, header.UncompressedSize64 = crc32.ChecksumIEEE(raw), uint64(len(raw)), uint64(len(raw))
			w, err = archive.CreateRaw(header)
		} else {
			w, err = archive.CreateHeader(header)
		}
		if err == nil && len(raw) > 0 {
			_, err = w.Write(raw)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// TestZipFile checks that an archive of several files is refused before any of them is read, where it is a file, and that one
// whose directory is gone is read all the same.
func TestZipFile(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "twitchdownloader.txt"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "chat.zip")
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"the log is the second file": {zipOf(t, zip.Deflate, "README.txt", []byte("read me"), "chat.txt", raw), `"README.txt", "chat.txt"`},
		"a hundred files":            {zipOf(t, zip.Deflate, slices.Concat(slices.Repeat([]any{"chat.txt", raw}, 100))...), "and others"},
		"one file":                   {zipOf(t, zip.Deflate, "chat.txt", raw), ""},
	} {
		if err := os.WriteFile(path, c.data, 0o644); err != nil {
			t.Fatal(err)
		}
		log, err := Open(t.Context(), path, Options{})
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || c.want == "" && (err != nil || len(log.Messages) == 0) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzUnpack gives the readers of xz and zip whatever bytes: they end, and the log at once and in crumbs is the same.
func FuzzUnpack(f *testing.F) {
	raw, err := os.ReadFile(filepath.Join("testdata", "twitchdownloader.txt"))
	if err != nil {
		f.Fatal(err)
	}
	xzData, err := base64.StdEncoding.DecodeString(xzSample)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(xzData)
	f.Add(packed(f, raw, packedZip, 9, 1<<20))
	f.Add(zipOf(f, zip.Store, "chat.txt", raw))
	f.Add(zipOf(f, zip.Deflate, "a/", nil, "__MACOSX/._chat.txt", []byte("x"), "a/chat.txt", raw))
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := Limits{Size: 1 << 22, Record: 1 << 16}
		whole, err := readWith(t, nil, data, limits, false)
		crumbs, crumbsErr := readWith(t, nil, data, limits, true)
		if (err == nil) != (crumbsErr == nil) || err == nil && !reflect.DeepEqual(whole, crumbs) {
			t.Fatalf("at once: %+v, %v\nin crumbs: %+v, %v", whole, err, crumbs, crumbsErr)
		}
	})
}
