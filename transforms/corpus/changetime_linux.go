package corpus

import (
	"os"
	"syscall"
	"time"
)

// changeTime returns when a file, or what is said of it, was last changed, and
// its inode. Unlike the time of modification, it cannot be set.
func changeTime(info os.FileInfo) (time.Time, uint64) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.ModTime(), 0
	}
	return time.Unix(st.Ctim.Unix()), st.Ino
}
