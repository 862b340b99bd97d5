package redis

import (
	_ "embed" // the scripts

	rds "sluice/gateway/redis"
)

var (
	//go:embed lua/publish_stream.lua
	publishStreamText string
	//go:embed lua/publish_list.lua
	publishListText string
	//go:embed lua/publish_at.lua
	publishAtText string
	//go:embed lua/publish_once.lua
	publishOnceText string
	//go:embed lua/history_stream.lua
	historyStreamText string
	//go:embed lua/history_list.lua
	historyListText string
	//go:embed lua/follow_stream.lua
	followStreamText string
	//go:embed lua/follow_list.lua
	followListText string
	//go:embed lua/renew_epoch.lua
	renewEpochText string

	publishStream = rds.NewScript("publish_stream", publishStreamText)
	publishList   = rds.NewScript("publish_list", publishListText)
	publishAt     = rds.NewScript("publish_at", publishAtText)
	publishOnce   = rds.NewScript("publish_once", publishOnceText)
	historyStream = rds.NewScript("history_stream", historyStreamText)
	historyList   = rds.NewScript("history_list", historyListText)
	followStream  = rds.NewScript("follow_stream", followStreamText)
	followList    = rds.NewScript("follow_list", followListText)
	renewEpoch    = rds.NewScript("renew_epoch", renewEpochText)
)
