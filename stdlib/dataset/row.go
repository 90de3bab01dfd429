// Package dataset holds the canonical training rows, their splits and their exports.
package dataset
