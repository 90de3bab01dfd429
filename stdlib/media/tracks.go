package media

import (
	"fmt"
	"strings"

	"golang.org/x/text/language"

	"banter/internal/problem"
)

// chooseTrack is the number, over all audio tracks, of the one that opt means.
func chooseTrack(tracks []Track, opt Options) (int, error) {
	fits := func(Track) bool { return true }
	what := "track %d does not exist: the recording has %s"
	if opt.Language != "" {
		want, err := base(opt.Language)
		if err != nil {
			return 0, &problem.Error{Err: fmt.Errorf("%q names no language", opt.Language), Fix: "write a code of ISO 639, such as en or deu"}
		}
		fits = func(t Track) bool {
			b, err := base(t.Language)
			return err == nil && b == want
		}
		what = "track %d of those in the language " + opt.Language + " does not exist: the recording has %s"
	}
	left := opt.Track
	for i, t := range tracks {
		if !fits(t) {
			continue
		}
		if left == 0 {
			return i, nil
		}
		left--
	}
	return 0, &problem.Error{Err: fmt.Errorf(what, opt.Track, ListTracks(tracks)), Fix: "choose one of these; tracks are counted from 0"}
}

// base is the language of a code of two or three letters: en, eng and en-US are one, ger and deu, too.
func base(code string) (language.Base, error) {
	tag, err := language.Parse(code)
	if err != nil {
		return language.Base{}, err
	}
	if b, confidence := tag.Base(); confidence >= language.High {
		return b, nil
	}
	return language.Base{}, fmt.Errorf("%s is no language", code)
}

// ListTracks describes tracks in a line: track 0 (opus, 48000 Hz, 2 channels, eng, "Game").
func ListTracks(tracks []Track) string {
	const listed = 20
	var all []string
	for i, t := range tracks[:min(len(tracks), listed)] {
		d := fmt.Sprintf("track %d (%s, %d Hz, %d channels", i, t.Codec, t.SampleRate, t.Channels)
		if t.Channels == 1 {
			d = strings.TrimSuffix(d, "s")
		}
		if t.Language != "" {
			d += fmt.Sprintf(", %.20s", t.Language)
		} else {
			d += ", no language given"
		}
		if t.Title != "" {
			d += fmt.Sprintf(", %.60q", t.Title)
		}
		all = append(all, d+")")
	}
	if n := len(tracks) - listed; n > 0 {
		all = append(all, fmt.Sprintf("%d more", n))
	}
	return strings.Join(all, ", ")
}
