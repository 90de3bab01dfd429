package recipe

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"strings"

	"banter/internal/symbols"
)

// check reports what a compiler would say of a recipe's source, ten errors at most.
func check(filename string, src []byte) error {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, filename, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var found []string
	config := types.Config{Importer: symbols.NewImporter(fset), Error: func(err error) { found = append(found, err.Error()) }}
	if _, err := config.Check("main", fset, []*ast.File{f}, nil); err == nil {
		return nil
	}
	const most = 10
	if len(found) > most {
		found = append(found[:most], "too many errors")
	}
	return errors.New(strings.Join(found, "\n"))
}
