//go:build !linux && !darwin

package train

import "errors"

// Memory returns how much memory the machine has, in bytes.
func Memory() (int64, error) {
	return 0, errors.New("how much memory there is cannot be read on this system")
}
