# To be sourced by bash or zsh: `source setup.sh`. Puts `swf-testbed` on the PATH and says where its state lives.

if [ -n "${ZSH_VERSION:-}" ]; then
    _swf_repository=$(cd "$(dirname "${(%):-%x}")" && pwd -P)
else
    _swf_repository=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
fi

export SWF_HOME="${SWF_HOME:-$_swf_repository/var}"
case ":$PATH:" in
    *":$_swf_repository:"*) ;;
    *) export PATH="$_swf_repository:$PATH" ;;
esac
unset _swf_repository
