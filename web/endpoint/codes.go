package endpoint

// Codes of events and ends, as the field's pushers and players report them. Package client has those that programs meet too; the worker
// adds those of devices, encoders and decoders.
const (
	codePushConnected    = 1001
	codePushBegins       = 1002
	codeBitrateAdapted   = 1006
	codeUplinkTooSmall   = 1101
	codePushReconnecting = 1102
	codePushGaveUp       = -1307

	codePlayConnected    = 2001
	codePulling          = 2002
	codeFirstKeyFrame    = 2003
	codePlaying          = 2004
	codeEnded            = 2006
	codeLoading          = 2007
	codePlayReconnecting = 2103
	codeStall            = 2105
	codeFramesSkipped    = 2107
	codePlayGaveUp       = -2301

	codeConnection = 3002
	codeHandshake  = 3003
	codeClosed     = 3004
	codeIO         = 3005
)
