package session

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"

	"banter/dsl"
)

// bundle is a value in the forms that a front-end can choose from, by MIME type.
type bundle struct {
	data     map[string]any
	metadata map[string]any
}

func (b bundle) metadataOrEmpty() map[string]any {
	if b.metadata == nil {
		return map[string]any{}
	}
	return b.metadata
}

// size is about how many bytes the bundle takes in a message.
func (b bundle) size() int {
	n := 0
	for _, v := range b.data {
		switch v := v.(type) {
		case string:
			n += len(v)
		case json.RawMessage:
			n += len(v)
		default:
			n += 64
		}
	}
	return n
}

const maxBundle = 64 << 20 // bytes of one form of a value

// Displayer is a value that says itself how it is shown: by MIME type, strings, bytes (of images) or what can be JSON.
type Displayer interface{ MimeBundle() map[string]any }

// displayer is what shows a value of a type that has its own way. A Pair is a plain record of stdlib, which cannot say so
// itself.
func displayer(v any) (Displayer, bool) {
	if pair, ok := v.(dsl.Pair); ok {
		return dsl.PairCard(pair), true
	}
	d, ok := v.(Displayer)
	return d, ok
}

// render finds the forms in which a cell's result is shown.
func (r Result) render() bundle {
	b := render(r.Value)
	_, isTable := b.data["text/html"]
	if r.Text != "" && (len(b.data) == 1 || isTable && len(b.data) == 2) {
		b.data["text/plain"] = clip(r.Text, maxPlain)
	}
	return b
}

// render finds the forms in which a value is shown.
func render(v reflect.Value) (b bundle) {
	defer func() {
		// A user's MimeBundle, String or Error method may panic; so may a reflection on a value that changes meanwhile.
		if p := recover(); p != nil {
			b = bundle{data: map[string]any{"text/plain": clip(fmt.Sprintf("%s: panic while it was being shown: %v\n%s",
				typeName(v), p, debug.Stack()), maxErrorText)}}
		}
	}()
	if !v.IsValid() {
		return bundle{data: map[string]any{"text/plain": "<nil>"}}
	}
	if v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	if v.CanInterface() {
		if v.Kind() == reflect.Pointer && v.IsNil() {
			return bundle{data: map[string]any{"text/plain": "<nil>"}}
		}
		if d, ok := displayer(v.Interface()); ok {
			return encodeBundle(d.MimeBundle(), v)
		}
		if x, ok := v.Interface().(map[string]any); ok && isBundle(x) {
			return encodeBundle(x, v)
		}
	}
	b.data = map[string]any{"text/plain": plain(v)}
	if table, ok := tableOf(v); ok {
		b.data["text/html"] = table
	}
	return b
}

func typeName(v reflect.Value) string {
	if !v.IsValid() {
		return "nil"
	}
	return v.Type().String()
}

var mimeType = regexp.MustCompile(`^[\w\-+.]+/[\w\-+.]+$`)

// isBundle reports whether the keys of a map are MIME types. Such a map is shown as what it holds.
func isBundle(m map[string]any) bool {
	for k := range m {
		if !mimeType.MatchString(k) {
			return false
		}
	}
	return len(m) > 0
}

// encodeBundle brings a bundle into the form that messages have: text as strings, images in base64, JSON as JSON.
func encodeBundle(m map[string]any, v reflect.Value) bundle {
	b := bundle{data: map[string]any{}}
	for mime, form := range m {
		if !mimeType.MatchString(mime) {
			continue
		}
		var encoded any
		switch form := form.(type) {
		case string:
			encoded = form
		case []byte:
			if strings.HasPrefix(mime, "text/") || mime == "image/svg+xml" || mime == "application/javascript" {
				encoded = string(form)
			} else {
				encoded = base64.StdEncoding.EncodeToString(form)
			}
		default:
			j, err := json.Marshal(form)
			if err != nil {
				encoded = fmt.Sprintf("cannot be shown: %v", err)
				mime = "text/plain"
			} else {
				encoded = json.RawMessage(j)
			}
		}
		if n := (bundle{data: map[string]any{mime: encoded}}).size(); n > maxBundle {
			b.data["text/plain"] = fmt.Sprintf("%s of %s: too large to be shown", mime, byteCount(int64(n)))
			continue
		}
		b.data[mime] = encoded
	}
	if _, ok := b.data["text/plain"]; !ok {
		b.data["text/plain"] = typeName(v)
	}
	return b
}
