package align

import "banter/stdlib/chat"

// AuthorHash is the digest that stands for an author in tables. salt is that of [Options]; empty is the default.
func AuthorHash(salt string, a *chat.Author) string {
	if salt == "" {
		salt = defaultSalt
	}
	return authorHash(salt, authorKey(a))
}
