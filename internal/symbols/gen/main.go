// Command gen writes the tables of package symbols: a Go file for every package that cells may import, the export
// data of them all in export.zip, and the doc comments of Banter's own packages in docs.json.
//
// With -check it writes nothing and fails when a file would change. Export data differs between Go releases, so it is
// compared only under the release that wrote it.
package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/format"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"

	"golang.org/x/tools/go/gcexportdata"
	"golang.org/x/tools/go/packages"
)

// standard lists the packages of Go's library that cells may import. Packages that need what an interpreter cannot
// give (syscall, plugin, runtime/cgo, testing) are left out.
var standard = strings.Fields(`
archive/tar archive/zip bufio bytes cmp compress/bzip2 compress/flate compress/gzip compress/lzw compress/zlib
container/heap container/list container/ring context
crypto crypto/aes crypto/cipher crypto/ecdsa crypto/ed25519 crypto/elliptic crypto/hmac crypto/md5 crypto/rand
crypto/rsa crypto/sha1 crypto/sha256 crypto/sha512 crypto/subtle crypto/tls crypto/x509
encoding encoding/ascii85 encoding/base32 encoding/base64 encoding/binary encoding/csv encoding/gob encoding/hex
embed encoding/json encoding/pem encoding/xml errors flag fmt
hash hash/adler32 hash/crc32 hash/crc64 hash/fnv hash/maphash html html/template
image image/color image/color/palette image/draw image/gif image/jpeg image/png index/suffixarray
io io/fs io/ioutil iter log log/slog maps math math/big math/bits math/cmplx math/rand math/rand/v2
mime mime/multipart mime/quotedprintable net net/http net/http/cookiejar net/http/httptest net/http/httputil
net/mail net/netip net/textproto net/url
os os/exec os/signal os/user path path/filepath reflect regexp regexp/syntax runtime runtime/debug
slices sort strconv strings sync sync/atomic text/scanner text/tabwriter text/template text/template/parse
time unicode unicode/utf16 unicode/utf8 unique
`)

// own lists Banter's packages that cells may import; one that does not exist yet is skipped.
var own = strings.Fields(`
banter/dsl banter/stdlib/align banter/stdlib/chart banter/stdlib/chat banter/stdlib/dataset banter/stdlib/eval
banter/stdlib/lm banter/stdlib/media banter/stdlib/quality banter/stdlib/speech banter/stdlib/train
`)

func main() {
	broken := flag.Bool("skip-broken", false, "leave out Banter's packages that do not compile, instead of failing")
	check := flag.Bool("check", false, "compare with the files on disk; write nothing")
	dir := flag.String("dir", "", "directory of package symbols; default: the working directory, or internal/symbols below it")
	flag.Parse()
	if *dir == "" {
		*dir = "."
		if _, err := os.Stat("internal/symbols/symbols.go"); err == nil {
			*dir = "internal/symbols"
		}
	}
	if err := run(*dir, *check, *broken); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(dir string, check, skipBroken bool) error {
	fset := token.NewFileSet()
	pkgs, err := load(fset, dir, skipBroken)
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	seen := map[string]*types.Package{}
	for _, p := range pkgs {
		seen[p.PkgPath] = p.Types
		src, err := table(p.Types)
		if err != nil {
			return fmt.Errorf("%s: %w", p.PkgPath, err)
		}
		files["table_"+strings.NewReplacer("/", "_").Replace(p.PkgPath)+".go"] = src
	}
	if files["export.zip"], err = exportData(seen); err != nil {
		return err
	}
	if files["docs.json"], err = docComments(fset, pkgs); err != nil {
		return err
	}
	files["generated_by.txt"] = []byte(runtime.Version() + "\n")
	return settle(dir, files, check)
}

func load(fset *token.FileSet, dir string, skipBroken bool) ([]*packages.Package, error) {
	conf := &packages.Config{
		Fset: fset, Dir: dir, BuildFlags: []string{"-trimpath"}, Env: append(os.Environ(), "CGO_ENABLED=0"),
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedTypes | packages.NeedExportFile | packages.NeedImports | packages.NeedModule,
	}
	found, err := packages.Load(conf, append(slices.Clone(standard), own...)...)
	if err != nil {
		return nil, err
	}
	var kept []*packages.Package
	for _, p := range found {
		if len(p.Errors) > 0 {
			if slices.Contains(own, p.PkgPath) && (skipBroken || len(p.GoFiles) == 0) {
				fmt.Fprintf(os.Stderr, "gen: %s is left out: %v\n", p.PkgPath, p.Errors[0])
				continue
			}
			return nil, fmt.Errorf("load %s: %v", p.PkgPath, p.Errors[0])
		}
		kept = append(kept, p)
	}
	slices.SortFunc(kept, func(a, b *packages.Package) int { return strings.Compare(a.PkgPath, b.PkgPath) })
	return kept, nil
}

// exportData leaves out where each name is declared: nothing that is said of a cell needs it, and it differs between
// checkouts in different folders.
func exportData(pkgs map[string]*types.Package) ([]byte, error) {
	var paths []string
	for path := range pkgs {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.RegisterCompressor(zip.Deflate, func(o io.Writer) (io.WriteCloser, error) { return flate.NewWriter(o, flate.BestCompression) })
	for _, path := range paths {
		f, err := w.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Deflate})
		if err != nil {
			return nil, err
		}
		if err := gcexportdata.Write(f, nil, pkgs[path]); err != nil {
			return nil, fmt.Errorf("write export data of %s: %w", path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func docComments(fset *token.FileSet, pkgs []*packages.Package) ([]byte, error) {
	docs := map[string]string{}
	add := func(key, text string) {
		if text = strings.TrimSpace(text); text != "" {
			docs[key] = text
		}
	}
	for _, p := range pkgs {
		if !slices.Contains(own, p.PkgPath) {
			continue
		}
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parseWithComments(fset, name)
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
		d, err := doc.NewFromFiles(fset, files, p.PkgPath)
		if err != nil {
			return nil, err
		}
		add(p.PkgPath, d.Doc)
		values := func(vs []*doc.Value) {
			for _, v := range vs {
				for _, spec := range v.Decl.Specs {
					vs, ok := spec.(*ast.ValueSpec)
					if !ok {
						continue
					}
					text := vs.Doc.Text()
					if text == "" {
						text = vs.Comment.Text()
					}
					if text == "" {
						text = v.Doc
					}
					for _, name := range vs.Names {
						add(p.PkgPath+"."+name.Name, text)
					}
				}
			}
		}
		funcs := func(fs []*doc.Func) {
			for _, f := range fs {
				add(p.PkgPath+"."+f.Name, f.Doc)
			}
		}
		values(d.Consts)
		values(d.Vars)
		funcs(d.Funcs)
		for _, t := range d.Types {
			add(p.PkgPath+"."+t.Name, t.Doc)
			values(t.Consts)
			values(t.Vars)
			funcs(t.Funcs)
			for _, m := range t.Methods {
				add(p.PkgPath+"."+t.Name+"."+m.Name, m.Doc)
			}
			for _, spec := range t.Decl.Specs {
				fieldDocs(spec, func(field, text string) { add(p.PkgPath+"."+t.Name+"."+field, text) })
			}
		}
	}
	return json.MarshalIndent(docs, "", " ")
}

// fieldDocs reports the comment of each field of a struct type and each method of an interface type.
func fieldDocs(spec ast.Spec, add func(field, text string)) {
	ts, ok := spec.(*ast.TypeSpec)
	if !ok {
		return
	}
	var fields *ast.FieldList
	switch t := ts.Type.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		fields = t.Methods
	default:
		return
	}
	for _, f := range fields.List {
		text := f.Doc.Text()
		if text == "" {
			text = f.Comment.Text()
		}
		for _, name := range f.Names {
			add(name.Name, text)
		}
	}
}

// settle writes files into dir and removes tables of packages that are gone; with check it only compares.
func settle(dir string, files map[string][]byte, check bool) error {
	old, err := filepath.Glob(filepath.Join(dir, "table_*.go"))
	if err != nil {
		return err
	}
	var stale []string
	for _, name := range old {
		if _, ok := files[filepath.Base(name)]; !ok {
			stale = append(stale, filepath.Base(name))
			if !check {
				if err := os.Remove(name); err != nil {
					return err
				}
			}
		}
	}
	before, _ := os.ReadFile(filepath.Join(dir, "generated_by.txt"))
	sameGo := bytes.Equal(before, files["generated_by.txt"])
	for _, name := range sortedKeys(files) {
		path := filepath.Join(dir, name)
		if !check {
			if err := os.WriteFile(path, files[name], 0o644); err != nil {
				return err
			}
			continue
		}
		if !sameGo && (name == "export.zip" || name == "generated_by.txt") {
			continue
		}
		if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, files[name]) {
			stale = append(stale, name)
		}
	}
	if check && len(stale) > 0 {
		return fmt.Errorf("%d files are stale, %s among them: run go generate ./internal/symbols", len(stale), stale[0])
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func gofmt(src []byte) ([]byte, error) {
	out, err := format.Source(src)
	if err != nil {
		return nil, fmt.Errorf("%w in\n%s", err, src)
	}
	return out, nil
}
