package prebind

// endpoints reads the address and the ports out of the text of a connection file, in the order in which clients need them.
// There are none where it is not as Jupyter writes it, or where it asks for other sockets than those of TCP over IPv4. It
// is no JSON parser, since that would be initialised too late.
func endpoints(text []byte) (ip [4]byte, ports []int) {
	if string(word(text, "transport")) != "tcp" {
		return ip, nil
	}
	ip, ok := dotted(word(text, "ip"))
	if !ok {
		return ip, nil
	}
	for _, key := range [...]string{"shell_port", "iopub_port", "control_port", "stdin_port", "hb_port"} {
		if port, rest := decimal(value(text, key)); port >= 1 && port <= 65535 && len(rest) > 0 && (rest[0] == ',' || space(rest[0]) || rest[0] == '}') {
			ports = append(ports, port)
		}
	}
	return ip, ports
}

// value is the text that begins with a key's value; empty where the key is not there.
func value(text []byte, key string) []byte {
	quoted := `"` + key + `"`
	for i := 0; i+len(quoted) < len(text); i++ {
		if string(text[i:i+len(quoted)]) != quoted {
			continue
		}
		rest := skip(text[i+len(quoted):])
		if len(rest) > 0 && rest[0] == ':' {
			return skip(rest[1:])
		}
	}
	return nil
}

// word is a key's value less its quotes, where that is a string without escapes.
func word(text []byte, key string) []byte {
	v := value(text, key)
	if len(v) == 0 || v[0] != '"' {
		return nil
	}
	for i, c := range v[1:] {
		switch c {
		case '"':
			return v[1 : 1+i]
		case '\\':
			return nil
		}
	}
	return nil
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func skip(text []byte) []byte {
	for len(text) > 0 && space(text[0]) {
		text = text[1:]
	}
	return text
}

// decimal reads a number of at most five digits; it is -1 where there is none.
func decimal(text []byte) (n int, rest []byte) {
	i := 0
	for i < len(text) && i < 5 && text[i] >= '0' && text[i] <= '9' {
		n = 10*n + int(text[i]-'0')
		i++
	}
	if i == 0 {
		return -1, text
	}
	return n, text[i:]
}

// dotted reads an IPv4 address.
func dotted(text []byte) (ip [4]byte, ok bool) {
	for i := range ip {
		if i > 0 {
			if len(text) == 0 || text[0] != '.' {
				return ip, false
			}
			text = text[1:]
		}
		n, rest := decimal(text)
		if n < 0 || n > 255 {
			return ip, false
		}
		ip[i], text = byte(n), rest
	}
	return ip, len(text) == 0
}
