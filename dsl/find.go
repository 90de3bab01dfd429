package dsl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"banter/internal/problem"
	"banter/stdlib/chat"
)

// found is where the files of one stream lie.
type found struct {
	id        string
	recording string
	chat      string
	unread    string // what may have been meant as the chat log and is none that is read
	words     string // ground truth
	labels    string // ground truth
	unclear   error  // why it cannot be told which file is which
}

var recordingExtensions = []string{".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".mka", ".mkv", ".mp4", ".m4v", ".mov", ".webm",
	".avi", ".ts", ".flv", ".wma"}

func isRecording(name string) bool {
	return slices.Contains(recordingExtensions, strings.ToLower(filepath.Ext(name)))
}

// unpacked is a chat log's name without what says how it is packed.
func unpacked(name string) string {
	for _, packed := range []string{".gz", ".zst", ".bz2", ".xz", ".zip"} {
		if cut := len(name) - len(packed); cut > 0 && strings.EqualFold(name[cut:], packed) {
			return name[:cut]
		}
	}
	return name
}

func isChat(name string) bool {
	whole := strings.ToLower(name)
	name = unpacked(whole)
	packed := name != whole
	switch {
	case slices.Contains([]string{"words.json", "truth.json", "stream.json", "transcript.json", "readme.txt"}, name), strings.HasSuffix(name, ".info.json"):
		return false
	}
	ext := filepath.Ext(name)
	if ext == "" { // chat.zip: the archive names the log
		return packed && strings.Contains(name, "chat")
	}
	return slices.Contains([]string{".json", ".jsonl", ".ndjson", ".txt", ".log", ".html", ".htm", ".tcd", ".irc"}, ext)
}

// find resolves a pattern to streams in order of their ids, and says what lay there and belongs to none.
func find(pattern string, o loadOptions) (list []found, left []string, err error) {
	info, err := os.Stat(pattern)
	switch {
	case err == nil && info.IsDir():
		list, left, err = findInFolder(pattern, o)
	case err == nil:
		list, err = findByPattern(escape(pattern), o)
	case strings.ContainsAny(pattern, "*?["):
		list, err = findByPattern(pattern, o)
	case errors.Is(err, fs.ErrNotExist):
		here, _ := os.Getwd() // only to help find the mistake
		hint := "name a folder with one sub-folder a stream, or a pattern such as vods/*.mkv"
		if strings.HasPrefix(pattern, "~") {
			hint = "~ is not expanded here: write the whole path"
		}
		return nil, nil, fmt.Errorf("there is no such folder or file (the working directory is %s): %s", here, hint)
	default:
		err = &problem.Error{Op: "read", Path: pattern, Err: errors.Unwrap(err)}
	}
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(list, func(a, b found) int { return strings.Compare(a.id, b.id) })
	for _, f := range list {
		if !utf8.ValidString(f.id) {
			return nil, nil, fmt.Errorf("the name of %q is not UTF-8, and would be the stream's id: rename it", f.id)
		}
		if strings.ContainsFunc(f.id, unicode.IsControl) { // a line break would make two lines of what tables and reports say of it
			return nil, nil, fmt.Errorf("the name of %q holds control characters, and would be the stream's id: rename it", f.id)
		}
	}
	for i := 1; i < len(list); i++ {
		if list[i].id == list[i-1].id {
			return nil, nil, fmt.Errorf("%s and %s would both be stream %q: rename one", list[i-1].recording, list[i].recording, list[i].id)
		}
	}
	if err := useMap(list, o.chatMap); err != nil {
		return nil, nil, err
	}
	if o.chat != "" {
		more, err := useChats(list, o.chat)
		if err != nil {
			return nil, nil, err
		}
		left = append(left, more...)
	}
	return list, left, nil
}

// findInFolder finds streams in the sub-folders of dir, recordings in dir itself, and what dir holds if it is one stream's.
func findInFolder(dir string, o loadOptions) (list []found, left []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	flat := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		sub := filepath.Join(dir, e.Name())
		info, err := os.Stat(sub) // a link to a folder counts
		switch {
		case errors.Is(err, fs.ErrNotExist):
			left = append(left, e.Name()+" is a link to nothing and was left out")
			continue
		case err != nil:
			return nil, nil, &problem.Error{Op: "read", Path: sub, Err: errors.Unwrap(err)}
		case !info.IsDir():
			if isRecording(e.Name()) {
				flat++
			}
			continue
		}
		f, chats, err := findInStreamFolder(sub, o)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case f.recording != "":
			list = append(list, f)
		case len(chats) > 0:
			left = append(left, fmt.Sprintf("%s has no recording beside %s and was left out", e.Name(), strings.Join(bases(chats), ", ")))
		}
	}
	switch {
	case flat > 0:
		more, err := findByPattern(filepath.Join(escape(dir), "*"), o)
		if err != nil {
			return nil, nil, err
		}
		more = slices.DeleteFunc(more, func(f found) bool { return filepath.Dir(f.recording) != filepath.Clean(dir) }) // sub-folders were looked at
		if flat == 1 && len(list) == 0 && more[0].chat == "" && o.chat == "" && len(o.chatMap) == 0 {
			f, _, err := findInStreamFolder(dir, o)
			if err != nil {
				return nil, nil, err
			}
			if f.chat != "" {
				more[0] = f
			}
		}
		list = append(list, more...)
	case len(list) == 0:
		return nil, nil, nothingIn(dir, left)
	}
	return list, left, nil
}

// nothingIn says that a folder has no recordings, and where there are some if they lie deeper.
func nothingIn(dir string, left []string) error {
	if len(left) > 0 {
		return fmt.Errorf("no recording in this folder or its sub-folders: %s", strings.Join(left[:min(len(left), 3)], "; "))
	}
	const most = 20_000 // files looked at
	n, deeper := 0, ""
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error { // it only helps to find the mistake
		if n++; n > most || deeper != "" {
			return fs.SkipAll
		}
		if err == nil && !e.IsDir() && isRecording(path) {
			deeper = path
		}
		return nil
	})
	if rel, err := filepath.Rel(dir, deeper); err == nil && deeper != "" {
		steps := strings.Count(filepath.ToSlash(rel), "/")
		return fmt.Errorf("no recording in this folder or its sub-folders, but there is %s: name the streams' folders by the pattern %s",
			rel, filepath.Join(dir, strings.Repeat("*/", steps)))
	}
	return fmt.Errorf("no recording in this folder or its sub-folders: want one sub-folder a stream, with a recording (%s) and a chat log",
		strings.Join(recordingExtensions, " "))
}

// escape makes a path mean itself in a pattern.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// findInStreamFolder finds the files of the one stream that a folder holds. Without a recording it only tells what may be
// chat logs.
func findInStreamFolder(dir string, o loadOptions) (f found, chats []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return found{}, nil, err
	}
	f.id = filepath.Base(dir)
	if whole, err := filepath.Abs(dir); err == nil { // "." has a name too
		f.id = filepath.Base(whole)
	}
	var recordings []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if e.IsDir() {
			if isChat(e.Name()) {
				f.unread = e.Name() + " is a folder"
			}
			continue
		}
		switch ext := strings.ToLower(filepath.Ext(e.Name())); {
		case slices.Contains([]string{".7z", ".rar"}, ext):
			f.unread = e.Name() + " has to be unpacked: only .gz, .zst, .bz2, .xz and .zip are read as they are"
		case e.Name() == "words.json":
			f.words = path
		case e.Name() == "truth.json":
			f.labels = path
		case isRecording(e.Name()):
			recordings = append(recordings, path)
		case isChat(e.Name()):
			chats = append(chats, path)
		case ext == ".zip":
			f.unread = e.Name() + " is not taken for a chat log: if it is one, name it chat.zip"
		}
	}
	if len(recordings) == 0 {
		return f, chats, nil
	}
	if len(recordings) > 1 {
		f.unclear = fmt.Errorf("folder %s has %d recordings (%s): leave one in it, or put each into one of its own with its chat log",
			dir, len(recordings), strings.Join(bases(recordings), ", "))
	}
	f.recording = recordings[0]
	if _, ok, err := mapped(f, o.chatMap); ok || err != nil || o.chat != "" { // said elsewhere
		return f, chats, err
	}
	if f.chat, err = likeliest(chats); err != nil && f.unclear == nil {
		f.unclear = fmt.Errorf("folder %s: %w", dir, err)
	}
	return f, chats, nil
}

// likeliest chooses among files that may be a stream's chat log the one whose name says so.
func likeliest(chats []string) (string, error) {
	for _, says := range []func(path string) bool{
		func(string) bool { return true },
		func(path string) bool { return stem(path) == "chat" },
		func(path string) bool { return strings.Contains(strings.ToLower(filepath.Base(path)), "chat") },
	} {
		if of := slices.DeleteFunc(slices.Clone(chats), func(path string) bool { return !says(path) }); len(of) == 1 {
			return of[0], nil
		}
	}
	if len(chats) == 0 {
		return "", nil
	}
	return "", fmt.Errorf("several files may be its chat log (%s): leave one of them there, name it chat%s, or say which with ChatMap",
		strings.Join(bases(chats), ", "), filepath.Ext(chats[0]))
}

func bases(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = filepath.Base(p)
	}
	return out
}

// stem is a file's name without folders and extensions: "v1.chat.json.gz" is "v1.chat".
func stem(path string) string {
	name := unpacked(filepath.Base(path))
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// chatOf is the name of the recording that a chat log is named after: "v1" for v1.json, v1_chat.json and v1.live_chat.json.
func chatOf(path string) string {
	name := stem(path)
	for _, suffix := range []string{".live_chat", " - chat", ".chat", "_chat", "-chat", " chat"} {
		if cut := len(name) - len(suffix); cut > 0 && strings.EqualFold(name[cut:], suffix) {
			return name[:cut]
		}
	}
	return name
}

// namedAfter says whether a chat log is named after the recording with the given id.
func namedAfter(path, id string) bool { return chatOf(path) == id || stem(path) == id }

// findByPattern takes recordings by their names, and folders as those of a stream each.
func findByPattern(pattern string, o loadOptions) ([]found, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: see the patterns of path/filepath.Match", err)
	}
	var list, folders []found
	for _, p := range paths {
		info, err := os.Stat(p)
		switch {
		case err != nil || strings.HasPrefix(filepath.Base(p), "."):
		case info.IsDir():
			f, _, err := findInStreamFolder(p, o)
			if err != nil {
				return nil, err
			}
			if f.recording != "" {
				folders = append(folders, f)
			}
		case info.Mode().IsRegular() && isRecording(p):
			list = append(list, found{id: stem(p), recording: p})
		}
	}
	if len(list)+len(folders) == 0 {
		return nil, fmt.Errorf("no recording matches: %s match the pattern, and none is a recording (%s) or a folder with one", plural(len(paths), "name"),
			strings.Join(recordingExtensions, " "))
	}
	if o.chat == "" {
		if err := findChats(list, o); err != nil {
			return nil, err
		}
	}
	return append(list, folders...), nil
}

// findChats gives each recording the chat log that lies beside it and is named after it.
func findChats(list []found, o loadOptions) error {
	beside := map[string][]string{} // what may be chat logs, by folder
	named := map[string]bool{}      // of which some recording's name says whose they are
	for _, f := range list {
		dir := filepath.Dir(f.recording)
		if _, ok := beside[dir]; ok {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return &problem.Error{Op: "read", Path: dir, Err: errors.Unwrap(err)}
		}
		beside[dir] = nil
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); isChat(e.Name()) && !strings.HasPrefix(e.Name(), ".") && fileExists(path) {
				beside[dir] = append(beside[dir], path)
				named[path] = slices.ContainsFunc(list, func(f found) bool { return filepath.Dir(f.recording) == dir && namedAfter(path, f.id) })
			}
		}
	}
	for i := range list {
		f := &list[i]
		if _, ok, err := mapped(*f, o.chatMap); ok || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		all := beside[filepath.Dir(f.recording)]
		own := slices.DeleteFunc(slices.Clone(all), func(path string) bool { return !namedAfter(path, f.id) })
		var err error
		if f.chat, err = likeliest(own); err != nil {
			f.unclear = fmt.Errorf("recording %s: %w", f.recording, err)
		}
		rest := slices.DeleteFunc(slices.Clone(all), func(path string) bool { return named[path] })
		if f.chat == "" && len(rest) > 0 {
			f.unread = fmt.Sprintf("%s lies beside it: if that is its chat log, name it %s_chat%s, or say so with ChatMap",
				strings.Join(bases(rest[:min(len(rest), 3)]), ", "), f.id, filepath.Ext(rest[0]))
		}
	}
	return nil
}

// mapped is the chat log that a ChatMap gives a stream, by its recording's path or its id.
func mapped(f found, chatMap map[string]string) (path string, ok bool, err error) {
	if path, ok = chatMap[f.id]; ok {
		return path, true, nil
	}
	if len(chatMap) == 0 {
		return "", false, nil
	}
	recording, err := filepath.Abs(f.recording)
	if err != nil {
		return "", false, err
	}
	for key, path := range chatMap {
		if whole, err := filepath.Abs(key); err != nil {
			return "", false, err
		} else if whole == recording {
			return path, true, nil
		}
	}
	return "", false, nil
}

// useMap gives the streams of a ChatMap their logs.
func useMap(list []found, chatMap map[string]string) error {
	used := 0
	for i := range list {
		path, ok, err := mapped(list[i], chatMap)
		if err != nil {
			return err
		}
		if ok {
			list[i].chat = path
			used++
		}
	}
	if used < len(chatMap) {
		var known []string
		for _, f := range list {
			known = append(known, f.id)
		}
		return fmt.Errorf("ChatMap names %s, and %d of them are among what was found (streams %s): give each recording's path or its stream's id, once",
			plural(len(chatMap), "recording"), used, strings.Join(known[:min(len(known), 10)], ", "))
	}
	return nil
}

// useChats gives streams the logs that the pattern of Chat names, by name or by the video id that a log tells, and says
// which logs belong to none.
func useChats(list []found, pattern string) (left []string, err error) {
	chats, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("chat pattern %q: %w", pattern, err)
	}
	if fileExists(pattern) {
		chats = []string{pattern}
	}
	if len(chats) == 0 {
		return nil, fmt.Errorf("no chat log matches %q", pattern)
	}
	given := map[string]bool{} // streams that ChatMap or a log's name settles
	for _, f := range list {
		given[f.id] = f.chat != ""
	}
	var unnamed []string
	for _, c := range chats {
		i := slices.IndexFunc(list, func(f found) bool { return namedAfter(c, f.id) })
		switch {
		case i < 0:
			unnamed = append(unnamed, c)
		case list[i].chat == "":
			list[i].chat = c
		case !given[list[i].id]:
			list[i].unclear = fmt.Errorf("recording %s has two chat logs, %s and %s: say which with ChatMap", list[i].recording, list[i].chat, c)
		}
	}
	// What names did not settle, video ids may.
	for _, c := range unnamed {
		log, err := chat.Open(context.Background(), c, chat.Options{})
		if err != nil {
			return nil, err
		}
		id := log.Source.StreamID
		i := slices.IndexFunc(list, func(f found) bool { return f.chat == "" && id != "" && holdsID(f.id, id) })
		if i < 0 {
			left = append(left, fmt.Sprintf("%s belongs to no recording, neither by its name nor by the id of its video (%q), and was left out", c, id))
			continue
		}
		list[i].chat = c
	}
	return left, nil
}

// holdsID says whether id stands in name as a word of its own: "vod 123" holds 123 but not 12.
func holdsID(name, id string) bool {
	part := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	for from := 0; ; {
		i := strings.Index(name[from:], id)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(id)
		if (i == 0 || !part(name[i-1]) || !part(id[0])) && (end == len(name) || !part(name[end]) || !part(id[len(id)-1])) {
			return true
		}
		from = i + 1
	}
}
