// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

import {IExchange} from "../../src/interfaces/IExchange.sol";

// Ten ways in which a token can be awkward.

/// @dev A plain token with as many decimals as asked for; what the others build on.
contract PlainToken is ERC20 {
    uint8 private immutable _decimals;

    constructor(uint8 decimals_) ERC20("Awkward", "AWK") {
        _decimals = decimals_;
    }

    function mint(address to, uint256 raw) external {
        _mint(to, raw);
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }
}

/// @dev Says nothing where the standard says true.
contract SilentToken {
    mapping(address owner => uint256 raw) public balanceOf;
    mapping(address owner => mapping(address spender => uint256 raw)) public allowance;

    function mint(address to, uint256 raw) external {
        balanceOf[to] += raw;
    }

    function approve(address spender, uint256 raw) external {
        allowance[msg.sender][spender] = raw;
    }

    function transfer(address to, uint256 raw) external {
        move(msg.sender, to, raw);
    }

    function transferFrom(address from, address to, uint256 raw) external {
        allowance[from][msg.sender] -= raw;
        move(from, to, raw);
    }

    function move(address from, address to, uint256 raw) private {
        balanceOf[from] -= raw;
        balanceOf[to] += raw;
    }
}

/// @dev Says false and moves nothing, instead of reverting, when it feels like it.
contract RefusingToken is PlainToken(8) {
    bool public refuses;

    function setRefuses(bool refuses_) external {
        refuses = refuses_;
    }

    function transfer(address to, uint256 raw) public override returns (bool) {
        return refuses ? false : super.transfer(to, raw);
    }

    function transferFrom(address from, address to, uint256 raw) public override returns (bool) {
        return refuses ? false : super.transferFrom(from, to, raw);
    }
}

/// @dev Keeps one percent of every transfer.
contract GreedyToken is PlainToken(8) {
    function _update(address from, address to, uint256 raw) internal override {
        uint256 kept = from == address(0) ? 0 : raw / 100;
        super._update(from, to, raw);
        if (kept != 0) super._update(to, address(this), kept);
    }
}

/// @dev Refuses to move anything from or to whom it has on its list.
contract DenyingToken is PlainToken(8) {
    error Denied(address who);

    mapping(address who => bool denied) public denied;

    function deny(address who) external {
        denied[who] = true;
    }

    function _update(address from, address to, uint256 raw) internal override {
        if (denied[from]) revert Denied(from);
        if (denied[to]) revert Denied(to);
        super._update(from, to, raw);
    }
}

/// @dev Calls a target in the middle of a transfer.
contract ReentrantToken is PlainToken(8) {
    address private _target;
    bytes private _message;

    function callBack(address target, bytes calldata message) external {
        (_target, _message) = (target, message);
    }

    function _update(address from, address to, uint256 raw) internal override {
        super._update(from, to, raw);
        if (_target == address(0) || from == address(0)) return;
        (bool done, bytes memory told) = _target.call(_message);
        if (!done) {
            assembly ("memory-safe") { revert(add(told, 32), mload(told)) }
        }
    }
}

/// @dev Everybody's balance grows or shrinks at once.
contract RebasingToken is PlainToken(8) {
    uint256 private _percent = 100;

    function rebase(uint256 percent) external {
        _percent = percent;
    }

    function balanceOf(address owner) public view override returns (uint256) {
        return super.balanceOf(owner) * _percent / 100;
    }
}

/// @dev Stops altogether.
contract PausableToken is PlainToken(8) {
    error Stopped();

    bool public stopped;

    function stop(bool stopped_) external {
        stopped = stopped_;
    }

    function _update(address from, address to, uint256 raw) internal override {
        if (stopped) revert Stopped();
        super._update(from, to, raw);
    }
}

/// @dev Takes an approval only from zero, or to zero.
contract StubbornToken is PlainToken(8) {
    error ResetFirst();

    function approve(address spender, uint256 raw) public override returns (bool) {
        if (raw != 0 && allowance(msg.sender, spender) != 0) revert ResetFirst();
        return super.approve(spender, raw);
    }
}
