package shapes

func OnWindows() {}
