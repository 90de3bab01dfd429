package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banter/internal/misspelt"
	"banter/internal/problem"
	"banter/internal/progress"
)

// DirVariable is the environment variable that names the folder of models instead of the user's cache folder.
const DirVariable = "BANTER_MODELS"

// Dir is the folder where fetched models are kept: $BANTER_MODELS, or banter/models in the user's cache folder.
func Dir() (string, error) {
	if dir := os.Getenv(DirVariable); dir != "" {
		return filepath.Abs(dir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", &problem.Error{Op: "find the models folder", Err: err, Fix: "name it in $" + DirVariable}
	}
	return filepath.Join(cache, "banter", "models"), nil
}

// shippedDirs are the folders where models that come with Banter may lie: $BANTER_MODELS, then testdata/models of the
// working directory and of those above it, then next to the program.
func shippedDirs() []string {
	var dirs []string
	if dir := os.Getenv(DirVariable); dir != "" {
		dirs = append(dirs, dir)
	}
	up := func(dir string) {
		for {
			dirs = append(dirs, filepath.Join(dir, "testdata", "models"))
			parent := filepath.Dir(dir)
			if parent == dir {
				return
			}
			dir = parent
		}
	}
	if dir, err := os.Getwd(); err == nil {
		up(dir)
	}
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		dirs = append(dirs, filepath.Join(filepath.Dir(self), "models"))
		up(filepath.Dir(self))
	}
	return dirs
}

// Locate returns where a model of the registry lies, or would lie once fetched, and whether it is there. It looks at names
// and sizes alone.
func Locate(e Entry) (path string, there bool, err error) {
	if e.Shipped != "" {
		for _, dir := range shippedDirs() {
			if path := filepath.Join(dir, filepath.FromSlash(e.Shipped)); complete(path, e) {
				return path, true, nil
			}
		}
		return e.Shipped, false, nil
	}
	dir, err := Dir()
	if err != nil {
		return "", false, err
	}
	path = filepath.Join(dir, e.Files[0].Name)
	if e.Folder {
		path = filepath.Join(dir, e.Name)
	}
	return path, complete(path, e), nil
}

// complete reports whether all files of e are at path, by name and size.
func complete(path string, e Entry) bool {
	for _, f := range e.Files {
		p := path
		if e.Folder {
			p = filepath.Join(path, f.Name)
		}
		info, err := os.Stat(p)
		if err != nil || !info.Mode().IsRegular() || f.Size > 0 && info.Size() != f.Size {
			return false
		}
	}
	return true
}

// Find says where the model of that name, or at that path, lies, by names and sizes alone. It fetches nothing: for a model
// that is not there, the error says how to get it.
func Find(nameOrPath string) (path string, err error) {
	fail := func(path string, err error, fix string) (string, error) {
		return "", &problem.Error{Op: "find model", Path: path, Err: err, Fix: fix}
	}
	if nameOrPath == "" {
		return fail("", errors.New("no model is named"), "name one of `recipe models list`, or a path")
	}
	if e, ok := Lookup(nameOrPath); ok {
		path, there, err := Locate(e)
		switch {
		case err != nil:
			return "", err
		case there:
			return path, nil
		case e.Shipped != "":
			return fail(e.Name, fmt.Errorf("it ships with Banter as testdata/models/%s, which is not there or not whole", e.Shipped),
				"run within Banter's folder, or name a folder that holds "+e.Shipped+" in $"+DirVariable)
		}
		return fail(e.Name, errors.New("it is not there yet"), "run `recipe models pull "+e.Name+"`")
	}
	_, err = os.Stat(nameOrPath)
	if errors.Is(err, fs.ErrNotExist) {
		fix := "give the path of a file, or one of `recipe models list`"
		if near := nearest(nameOrPath); near != "" {
			fix = "did you mean " + near + "? See `recipe models list`"
		}
		return fail(nameOrPath, errors.New("there is neither a model of that name nor such a file"), fix)
	}
	if err != nil {
		return fail(nameOrPath, withoutPath(err), "")
	}
	return nameOrPath, nil
}

// Resolve finds the model of that name, or at that path, and checks that it is whole and of the right form.
func Resolve(ctx context.Context, nameOrPath string) (Model, error) {
	path, err := Find(nameOrPath)
	if err != nil {
		return Model{}, err
	}
	if e, ok := Lookup(nameOrPath); ok {
		m, err := open(ctx, path, e.Kind)
		if err != nil {
			return Model{}, err
		}
		if err := e.check(path, m.files); err != nil {
			return Model{}, err
		}
		m.Name, m.Quirks = e.Name, e.Quirks
		return m.Model, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return Model{}, &problem.Error{Op: "find model", Path: path, Err: withoutPath(err)}
	}
	kind := Kind("")
	if info.IsDir() {
		kind = LM
	}
	m, err := open(ctx, nameOrPath, kind)
	if err != nil {
		return Model{}, err
	}
	m.Name = strings.TrimSuffix(filepath.Base(nameOrPath), filepath.Ext(nameOrPath))
	if info.IsDir() {
		m.Name = filepath.Base(m.Path)
	}
	for _, e := range registry { // a known model by another name keeps its quirks
		if len(e.Files) == 1 && e.Files[0].SHA256 == m.SHA256 {
			m.Quirks = e.Quirks
		}
	}
	if err := readQuirks(nameOrPath+".json", &m.Quirks); err != nil {
		return Model{}, err
	}
	return m.Model, nil
}

// opened is a model with the digests of its files.
type opened struct {
	Model
	files map[string]string // digest by name
}

// open checks the form of a model and takes its digest. With no kind, the content decides.
func open(ctx context.Context, path string, kind Kind) (*opened, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	m := &opened{Model: Model{Path: abs, Kind: kind}, files: map[string]string{}}
	info, err := os.Stat(abs)
	if err != nil {
		return nil, &problem.Error{Op: "open model", Path: path, Err: withoutPath(err)}
	}
	if !info.IsDir() {
		found, err := sniff(abs)
		if err != nil {
			return nil, &problem.Error{Op: "open model", Path: path, Err: err, Fix: "fetch it again, or name another"}
		}
		if kind != "" && found != kind {
			return nil, &problem.Error{Op: "open model", Path: path, Err: fmt.Errorf("this is a model of kind %s, not %s", found, kind), Fix: "name another"}
		}
		m.Kind = found
		m.SHA256, err = remembered(ctx, abs)
		m.files[filepath.Base(abs)] = m.SHA256
		return m, err
	}
	// Of a folder count the files that a reader looks at; a README does not change what a model says.
	entries, err := os.ReadDir(abs)
	if err != nil {
		return nil, &problem.Error{Op: "open model", Path: path, Err: withoutPath(err)}
	}
	var list strings.Builder
	weights := false
	for _, e := range entries { // in order of name
		name := e.Name()
		if !e.Type().IsRegular() || !slices.Contains([]string{".json", ".jinja", ".model", ".txt", ".safetensors"}, filepath.Ext(name)) {
			continue
		}
		weights = weights || filepath.Ext(name) == ".safetensors"
		p := filepath.Join(abs, name)
		if i, err := e.Info(); err == nil && i.Size() == 0 {
			return nil, &problem.Error{Op: "open model", Path: p, Err: errors.New("the file is empty"), Fix: "fetch it again"}
		}
		if m.files[name], err = remembered(ctx, p); err != nil {
			return nil, err
		}
		fmt.Fprintf(&list, "%s  %s\n", m.files[name], name)
	}
	for _, need := range []string{"config.json", "tokenizer.json"} {
		if m.files[need] == "" {
			return nil, &problem.Error{Op: "open model", Path: path, Err: fmt.Errorf("the folder has no %s", need), Fix: "name a folder in Hugging Face's layout"}
		}
	}
	if !weights {
		return nil, &problem.Error{Op: "open model", Path: path, Err: errors.New("the folder has no safetensors file"), Fix: "fetch the weights too"}
	}
	sum := sha256.Sum256([]byte(list.String()))
	m.SHA256 = hex.EncodeToString(sum[:])
	return m, nil
}

// check compares digests with those that the registry or the first fetch named.
func (e *Entry) check(path string, digests map[string]string) error {
	for _, f := range e.Files {
		p := path
		if e.Folder {
			p = filepath.Join(path, f.Name)
		}
		want := f.SHA256
		if want == "" {
			recorded, err := readRecord(p)
			if err != nil {
				return err
			}
			want = recorded
		}
		if got := digests[filepath.Base(p)]; want != "" && got != want {
			return &problem.Error{Op: "check model", Path: p, Err: fmt.Errorf("its SHA-256 is %s, not %s", got, want),
				Fix: "delete it and run `recipe models pull " + e.Name + "`"}
		}
	}
	return nil
}

// recordSuffix is that of the file beside a fetched one which holds its digest, in sha256sum's form.
const recordSuffix = ".sha256"

func readRecord(path string) (string, error) {
	data, err := os.ReadFile(path + recordSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	sum, _, _ := strings.Cut(string(data), " ")
	if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size {
		return "", &problem.Error{Op: "check model", Path: path + recordSuffix, Err: errors.New("this is no SHA-256"), Fix: "delete the file and the model, and pull it again"}
	}
	return sum, nil
}

// Digester gives the SHA-256 of a file, in hex.
type Digester func(ctx context.Context, path string) (string, error)

type digesterKey struct{}

// WithDigester makes [Resolve] take the digests of files from d, which may remember those of files that did not change:
// without one, each call reads each model from end to end.
func WithDigester(ctx context.Context, d Digester) context.Context {
	return context.WithValue(ctx, digesterKey{}, d)
}

func remembered(ctx context.Context, path string) (string, error) {
	if d, ok := ctx.Value(digesterKey{}).(Digester); ok {
		return d(ctx, path)
	}
	return digest(ctx, path)
}

// digest is the SHA-256 of a file, in hex.
func digest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	buf := make([]byte, 1<<20)
	var done int64
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		done += int64(n)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
		progress.Tell(ctx, progress.Report{Done: done, Total: info.Size(), Unit: "bytes", Note: "checking " + filepath.Base(path)})
	}
}

// sniff tells a model file's kind by its first bytes, so that native code is never given what it would choke on.
func sniff(path string) (Kind, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", withoutPath(err)
	}
	defer f.Close()
	head := make([]byte, 64)
	n, err := io.ReadFull(f, head)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return "", errors.New("the file is empty")
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return "", err
	}
	head = head[:n]
	switch {
	case n < 48:
		return "", fmt.Errorf("the file is cut short: it has %d bytes", n)
	case string(head[:4]) == "GGUF":
		return LM, nil
	case string(head[:4]) != "lmgg": // the number 0x67676d6c, little-endian
		what := "the file is no model: it does not begin with ggml's or GGUF's mark"
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(string(head))), "<") {
			what += " but looks like a web page"
		}
		if strings.HasPrefix(string(head), "version https://git-lfs") {
			what += ": it is a Git LFS pointer, whose content was not fetched"
		}
		return "", errors.New(what)
	}
	// A Silero file goes on with its own name; a Whisper file with the numbers of its shape.
	if strings.Contains(string(head[4:]), "silero") {
		return VAD, nil
	}
	return ASR, nil
}

// maxQuirks bounds the file of quirks.
const maxQuirks = 1 << 20

// readQuirks reads the file of quirks beside a model, if there is one.
func readQuirks(path string, q *Quirks) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && isDir(f) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	d := json.NewDecoder(io.LimitReader(f, maxQuirks))
	d.DisallowUnknownFields()
	if err := d.Decode(q); err != nil {
		return &problem.Error{Op: "read model quirks", Path: path, Err: err, Fix: `write it as {"dtw_heads": [{"layer": 0, "head": 0}], "no_text_context": true, "language": "en"}`}
	}
	return nil
}

func isDir(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.IsDir()
}

// nearest is the registry's name that is spelt most like name, or "".
func nearest(name string) string {
	var known []string
	for _, e := range registry {
		known = append(append(known, e.Name), e.Aliases...)
	}
	return misspelt.Nearest(name, known)
}

// withoutPath is err without the operation and path that the message around it names already.
func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
