// Package symbols gives cells the compiled packages that they may import: what the type checker must know about them
// (export data, embedded, so that no Go toolchain is needed at run time) and the functions, variables and types
// themselves. Its tables are generated; `go generate ./internal/symbols` makes them again after a package changed, and
// `go run ./internal/symbols/gen -check` says whether they are fresh.
package symbols

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"go/token"
	"go/types"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"

	"golang.org/x/tools/go/gcexportdata"
)

//go:generate go run ./gen

// Package holds the run-time side of one compiled package. Constants are absent: the export data has their values.
type Package struct {
	Funcs   map[string]any          // functions that have no type parameters
	Vars    map[string]any          // pointers to the variables
	Types   map[string]reflect.Type // types that have no type parameters
	Proxies map[string]reflect.Type // by interface name: the struct of functions by which yaegi implements it
}

var makers = map[string]func() *Package{}

var (
	loadedMu sync.Mutex
	loaded   = map[string]*Package{}
)

// Lookup returns the run-time table of the package with the given import path.
func Lookup(path string) (*Package, bool) {
	loadedMu.Lock()
	defer loadedMu.Unlock()
	if p, ok := loaded[path]; ok {
		return p, true
	}
	maker, ok := makers[path]
	if !ok {
		return nil, false
	}
	p := maker()
	loaded[path] = p
	return p, true
}

// Exports returns the table of a package in the form that yaegi wants.
func Exports(path string) (map[string]reflect.Value, bool) {
	p, ok := Lookup(path)
	if !ok {
		return nil, false
	}
	table := make(map[string]reflect.Value, len(p.Funcs)+len(p.Vars)+len(p.Types)+len(p.Proxies))
	for name, f := range p.Funcs {
		table[name] = reflect.ValueOf(f)
	}
	for name, v := range p.Vars {
		table[name] = reflect.ValueOf(v).Elem()
	}
	for name, t := range p.Types {
		table[name] = reflect.Zero(reflect.PointerTo(t))
	}
	for name, t := range p.Proxies {
		table["_"+name] = reflect.Zero(reflect.PointerTo(t))
	}
	return table, true
}

// Paths lists the import paths that cells may use, sorted.
func Paths() []string {
	paths := make([]string, 0, len(makers))
	for path := range makers {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

//go:embed export.zip
var exportZip []byte

//go:embed docs.json
var docsJSON []byte

var docs = sync.OnceValue(func() map[string]string {
	m := map[string]string{}
	if err := json.Unmarshal(docsJSON, &m); err != nil {
		panic(fmt.Sprintf("symbols: the embedded docs.json is damaged: %v", err))
	}
	return m
})

// Doc returns the doc comment of a symbol such as "banter/dsl.Load" or "banter/dsl.Pairs.Len"; "" where none is known.
func Doc(symbol string) string { return docs()[symbol] }

var archive = sync.OnceValue(func() map[string]*zip.File {
	r, err := zip.NewReader(bytes.NewReader(exportZip), int64(len(exportZip)))
	if err != nil {
		panic(fmt.Sprintf("symbols: the embedded export.zip is damaged: %v", err))
	}
	m := make(map[string]*zip.File, len(r.File))
	for _, f := range r.File {
		m[f.Name] = f
	}
	return m
})

// Importer reads packages from the embedded export data. It is not safe for concurrent use.
type Importer struct {
	fset     *token.FileSet
	packages map[string]*types.Package
	complete map[string]bool
}

// NewImporter returns an importer that records positions in fset.
func NewImporter(fset *token.FileSet) *Importer {
	return &Importer{fset: fset, packages: map[string]*types.Package{}, complete: map[string]bool{}}
}

// Import returns the types of the package with the given import path.
func (im *Importer) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if im.complete[path] {
		return im.packages[path], nil
	}
	f, ok := archive()[path]
	if !ok {
		if path == "C" {
			return nil, fmt.Errorf("banter cannot run cgo yet: import \"C\" needs a C compiler")
		}
		if strings.Contains(path, ".") {
			return nil, fmt.Errorf("package %s is not part of banter: cells import Go's standard library and banter/... only", path)
		}
		return nil, fmt.Errorf("package %s is not available in cells", path)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("read export data of %s: %w", path, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read export data of %s: %w", path, err)
	}
	p, err := gcexportdata.Read(bytes.NewReader(data), im.fset, im.packages, path)
	if err != nil {
		return nil, fmt.Errorf("read export data of %s: %w", path, err)
	}
	im.complete[path] = true
	return p, nil
}
