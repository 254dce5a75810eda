"""Board-side engineering that runs from a checkout: emulated boards, cross toolchains, deployment skeletons."""
