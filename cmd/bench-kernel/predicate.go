package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"

	"banter/internal/symbols"
	"banter/kernel/cell/predicate"
	"banter/stdlib/align"
)

const predicateSource = `package p
import "banter/stdlib/align"
var t = 0.5
var keep = func(p align.Pair) bool { return p.Confidence > t && len(p.Response) > 2 }
`

// measurePredicate compiles a predicate as a cell's Filter does, and times it over a million pairs and over ten million.
// The ten million are the same million ten times: they are 280 MB, far more than a cache holds, so memory is read as it
// would be.
func measurePredicate() (million, tenMillion float64, err error) {
	test, err := compiled()
	if err != nil {
		return 0, 0, err
	}
	pairs, keep := make([]align.Pair, 1_000_000), make([]bool, 1_000_000)
	want := 0
	for i := range pairs {
		pairs[i].Confidence = float64(i*7919%1000) / 1000
		pairs[i].Response = strings.Repeat("x", i%7)
		if pairs[i].Confidence > 0.5 && len(pairs[i].Response) > 2 {
			want++
		}
	}
	times := func(runs, passes int) (float64, error) {
		var took []time.Duration
		for range runs {
			kept := 0
			began := time.Now()
			for range passes {
				test.Rows(unsafe.Pointer(unsafe.SliceData(pairs)), keep)
				for _, k := range keep {
					if k {
						kept++
					}
				}
			}
			took = append(took, time.Since(began))
			if kept != want*passes {
				return 0, fmt.Errorf("the predicate kept %d pairs, not %d", kept, want*passes)
			}
		}
		slices.Sort(took)
		return float64(took[len(took)/2].Microseconds()) / 1000, nil
	}
	if million, err = times(11, 1); err != nil {
		return 0, 0, err
	}
	tenMillion, err = times(5, 10)
	return million, tenMillion, err
}

func compiled() (*predicate.Test, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "predicate.go", predicateSource, 0)
	if err != nil {
		return nil, err
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{},
		Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	config := types.Config{Importer: symbols.NewImporter(files)}
	if _, err := config.Check("p", files, []*ast.File{file}, info); err != nil {
		return nil, err
	}
	var lit *ast.FuncLit
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.FuncLit); ok {
			lit = l
		}
		return true
	})
	test, note, ok := predicate.Compile(lit, info, reflect.TypeFor[align.Pair](), func(types.Object) (reflect.Value, bool) {
		return reflect.ValueOf(0.5), true
	})
	if !ok {
		return nil, errors.New("the predicate was not compiled: " + note)
	}
	return test, nil
}
