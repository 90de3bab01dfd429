package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"banter/internal/problem"
)

// kind is a format as found by content.
type kind string

const (
	kindWAV      kind = "wav"
	kindFLAC     kind = "flac"
	kindMP3      kind = "mp3"
	kindOpus     kind = "opus"
	kindOgg      kind = "ogg" // with something other than Opus inside
	kindMP4      kind = "mp4"
	kindMatroska kind = "matroska"
	kindOther    kind = "other" // binary and not known here: ffmpeg may know it
	kindHTML     kind = "html"
	kindPlaylist kind = "playlist"
	kindText     kind = "text"
)

func (k kind) String() string {
	switch k {
	case kindOgg:
		return "Ogg without Opus"
	case kindMP4:
		return "MP4"
	case kindMatroska:
		return "Matroska or WebM"
	case kindOther:
		return "this format"
	}
	return string(k)
}

// refusal is the error for content that no decoder may see. Playlists are refused because ffmpeg would follow them to
// other files.
func (k kind) refusal() error {
	switch k {
	case kindHTML:
		return &problem.Error{Err: errors.New("this is a web page or XML, not a recording"), Fix: "download the recording itself; the site may have asked for a login"}
	case kindPlaylist:
		return &problem.Error{Err: errors.New("this is a playlist, not a recording"), Fix: "download the recording that it lists"}
	case kindText:
		return &problem.Error{Err: errors.New("this is text, not a recording"), Fix: "check the path"}
	}
	return nil
}

// sniff finds the format from the first bytes, past an ID3v2 tag.
func sniff(r io.ReadSeeker, size int64) (kind, error) {
	head := make([]byte, 4096)
	read := func(at int64) ([]byte, error) {
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			return nil, err
		}
		n, err := io.ReadFull(r, head)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		return head[:n], nil
	}
	b, err := read(0)
	if err != nil {
		return "", err
	}
	if n, ok := id3Size(b); ok {
		if n >= size {
			return "", fmt.Errorf("the ID3 tag claims %d bytes of a file of %d", n, size)
		}
		if b, err = read(n); err != nil {
			return "", err
		}
		if bytes.HasPrefix(b, []byte("fLaC")) {
			return kindFLAC, nil
		}
		return kindMP3, nil
	}
	has := func(at int, magic string) bool {
		return len(b) >= at+len(magic) && string(b[at:at+len(magic)]) == magic
	}
	switch {
	case (has(0, "RIFF") || has(0, "RF64") || has(0, "BW64")) && has(8, "WAVE"):
		return kindWAV, nil
	case has(0, "fLaC"):
		return kindFLAC, nil
	case has(0, "OggS"):
		if len(b) > 27 && has(27+int(b[26]), "OpusHead") {
			return kindOpus, nil
		}
		return kindOgg, nil
	case has(4, "ftyp"):
		return kindMP4, nil
	case has(0, "\x1a\x45\xdf\xa3"):
		return kindMatroska, nil
	}
	if h, ok := parseMP3Header(b); ok {
		if next := h.bytes; len(b) < next+4 {
			return kindMP3, nil // one short frame is all there is
		} else if h2, ok := parseMP3Header(b[next:]); ok && h2.compatible(h) {
			return kindMP3, nil
		}
	}
	text := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n"))
	switch {
	case bytes.HasPrefix(text, []byte("#extm3u")), bytes.HasPrefix(text, []byte("ffconcat")), bytes.HasPrefix(text, []byte("[playlist]")),
		bytes.HasPrefix(text, []byte("v=0\n")), bytes.HasPrefix(text, []byte("v=0\r\n")):
		return kindPlaylist, nil
	case bytes.HasPrefix(text, []byte("<")):
		return kindHTML, nil
	case looksLikeText(b):
		return kindText, nil
	}
	return kindOther, nil
}

// looksLikeText reports whether b is UTF-8 without control characters, save for a cut at the end.
func looksLikeText(b []byte) bool {
	for i := 0; i < len(b); {
		c, n := utf8.DecodeRune(b[i:])
		if c == utf8.RuneError && n <= 1 {
			return len(b) == 4096 && len(b)-i < utf8.UTFMax
		}
		if c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1b {
			return false
		}
		i += n
	}
	return true
}

// id3Size is the length of the ID3v2 tag that b starts with, header and footer included.
func id3Size(b []byte) (int64, bool) {
	if len(b) < 10 || string(b[:3]) != "ID3" || b[3] == 0xff || b[4] == 0xff {
		return 0, false
	}
	var n int64
	for _, c := range b[6:10] {
		if c >= 0x80 {
			return 0, false
		}
		n = n<<7 | int64(c)
	}
	n += 10
	if b[5]&0x10 != 0 {
		n += 10
	}
	return n, true
}
