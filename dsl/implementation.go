package dsl

//go:generate go run -C .. ./internal/sourcedigest

// implementation is the digest of the code that carries a verb out.
func implementation(verb string) string {
	digest, ok := implementations[verb]
	if !ok {
		panic("dsl: no source digest for verb " + verb + ": add it to internal/sourcedigest")
	}
	return digest
}
