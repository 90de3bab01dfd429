package prebind

var (
	Endpoints      = endpoints
	ConnectionFile = connectionFile
)

// Open opens the sockets of a command line, and says how many.
func Open(args []string) int {
	opened = open(args)
	return len(opened)
}
