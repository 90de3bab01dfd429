// Package cell runs Go cells so that they mean what Go means. A cell is split, type-checked, desugared and rewritten
// before yaegi interprets it: it does what a compiled program would do, or it is refused with a message at
// cell:line:column. Nothing here knows of Jupyter.
//
// What flows in is a cell's text; what flows out is the value of its last expression, or diagnostics.
package cell
