module coreward.dev/bed/probe

go 1.25.0
