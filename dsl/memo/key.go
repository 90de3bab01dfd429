// Package memo keeps the results of steps under keys made of everything that can change them.
//
// A [Step] names its parts: the verb, the digest of the code that carries it out, its options, the digests of what it
// reads, of models and engines, and its seed. The digest of those parts is its [Key]. A [Store] maps keys to manifests,
// and manifests to objects named by the SHA-256 of their bytes. Nothing in a store is visible before it is complete,
// errors are never stored, and two processes that want the same key at once agree on who makes it.
//
// docs/formats.md describes every file of a store.
package memo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Digest is the SHA-256 of some bytes in lower-case hexadecimal.
type Digest string

// Key is the digest of a step's parts.
type Key string

// Short is the form in which people are shown a key.
func (k Key) Short() string { return string(k[:min(12, len(k))]) }

// Valid says whether d is written as a digest is: it guards file names made from it.
func (d Digest) Valid() bool {
	if len(d) != 2*sha256.Size {
		return false
	}
	return strings.Trim(string(d), "0123456789abcdef") == ""
}

// Sum is the digest of b.
func Sum(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(hex.EncodeToString(sum[:]))
}

// Part is one thing that a step's result depends on.
type Part struct {
	Name  string `json:"name"`  // "option.window.max", "input.words.s1", "model", "seed"
	Value string `json:"value"` // canonical text: a digest, a number, canonical JSON
}

// Step names one computation by what it depends on.
type Step struct {
	Verb  string // "transcribe"
	Label string // what it is done to, for people: "s1"; no part of the key
	Parts []Part // in any order; names are unique

	// Reads are the keys of the steps whose outputs this one reads: its lineage. They are no part of the key: what was
	// read is, by its digest, so that a step re-made to the same bytes keeps all that follows it.
	Reads []Key

	// Recheck, if set, is called when the work is done: it returns an error if an input changed meanwhile.
	Recheck func() error

	// Once says that nobody will ask for this key again, so that no other store need have it.
	Once bool

	// Varies says why the bytes may differ on another machine, or is empty if they may not.
	Varies string
}

// With returns the step with one more part, whose value is v in canonical JSON.
func (s Step) With(name string, v any) Step {
	value, err := Canonical(v)
	if err != nil {
		panic(fmt.Sprintf("memo: part %s: %v", name, err)) // options are plain data: this is a programming error
	}
	s.Parts = append(slices.Clone(s.Parts), Part{Name: name, Value: value})
	return s
}

// Canonical is v as JSON with object members sorted and numbers in their shortest form, or the string itself if v is one.
// JSON writes all bytes that are no text as the same mark: where v holds such bytes, they follow the JSON in hexadecimal.
func Canonical(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case Digest:
		return string(v), nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var tree any
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return "", err
	}
	if b, err = json.Marshal(tree); err != nil { // maps are written in order of their keys
		return "", err
	}
	var raw []string
	notText(reflect.ValueOf(v), &raw, 0)
	slices.Sort(raw)
	return string(b) + strings.Join(raw, ""), nil
}

// notText collects the strings in v that are not UTF-8, each with the way to it.
func notText(v reflect.Value, found *[]string, depth int) {
	const deepest = 100 // json.Marshal has refused what is endless
	if depth > deepest {
		return
	}
	under := func(name string, v reflect.Value) {
		var inner []string
		notText(v, &inner, depth+1)
		for _, s := range inner {
			*found = append(*found, "\x00"+name+s)
		}
	}
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); !utf8.ValidString(s) {
			*found = append(*found, "="+hex.EncodeToString([]byte(s)))
		}
	case reflect.Pointer, reflect.Interface:
		notText(v.Elem(), found, depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			under(v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 { // written as base64, or as JSON that was text when it was made
			return
		}
		for i := range v.Len() {
			under(strconv.Itoa(i), v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			name := fmt.Sprint(k)
			if !utf8.ValidString(name) {
				*found = append(*found, "\x00key="+hex.EncodeToString([]byte(name)))
			}
			under(hex.EncodeToString([]byte(name)), v.MapIndex(k))
		}
	}
}

// Key is the digest of the verb and the parts, in order of their names.
func (s Step) Key() Key {
	parts := sortedParts(s.Parts)
	h := sha256.New()
	fmt.Fprintf(h, "banter-key/1\n%d:%s\n", len(s.Verb), s.Verb)
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s=%d:%s\n", len(p.Name), p.Name, len(p.Value), p.Value)
	}
	return Key(hex.EncodeToString(h.Sum(nil)))
}

func sortedParts(parts []Part) []Part {
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b Part) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Value, b.Value)
	})
	return parts
}
