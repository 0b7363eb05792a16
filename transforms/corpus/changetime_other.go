//go:build !linux

package corpus

import (
	"os"
	"time"
)

func changeTime(info os.FileInfo) (time.Time, uint64) { return info.ModTime(), 0 }
