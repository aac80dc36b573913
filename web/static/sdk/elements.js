// Both elements, and what programs need beside them.

export {LivePlayer} from "./player.js";
export {LivePusher} from "./pusher.js";
export {Code, codeText} from "./codes.js";
